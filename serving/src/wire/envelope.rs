//! The headers around an activation.

use std::time::Instant;

use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use splitscale_spec::Encoding;

use super::format::{Compression, Container, Format, encoding_name, encoding_of};
use super::{
    CREDIT, CUT, DEADLINE, ENCODING, Failure, REQUEST_ID, STAGE_A, StageTimes, deadline, header, request_id,
};

/// What the headers of an activation say; only `Content-Type` and `Content-Encoding` say how to read it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Envelope {
    /// Name of the request.
    pub(crate) id: String,
    /// Where the network is cut; absent where the sender does not say.
    pub(crate) cut: Option<String>,
    /// How the activation travels.
    pub(crate) format: Format,
    /// What A did.
    pub(crate) stage_a: Option<StageTimes>,
    /// When the sender will no longer wait.
    pub(crate) deadline: Option<Instant>,
    /// The place that was promised for it.
    pub(crate) credit: Option<u64>,
}

impl Envelope {
    /// Reads the headers of an activation that began to come `now`, before its body has.
    ///
    /// # Errors
    /// 415 for a format that is not spoken here, 400 for a header that cannot be read.
    pub(crate) fn of(headers: &HeaderMap, now: Instant) -> Result<Envelope, Failure> {
        let compression = text(headers, &CONTENT_ENCODING)?.map_or(Ok(Compression::None), str::parse)?;
        let format = Format {
            encoding: text(headers, &ENCODING)?.map_or(Ok(Encoding::F32), encoding_of)?,
            container: Container::of_media_type(text(headers, &CONTENT_TYPE)?)?,
            compression,
        };
        let stage_a = text(headers, &STAGE_A)?.map(serde_json::from_str).transpose();
        Ok(Envelope {
            id: request_id(headers),
            cut: text(headers, &CUT)?.filter(|cut| !cut.is_empty()).map(str::to_owned),
            format,
            stage_a: stage_a.map_err(|e| Failure::bad(format!("{STAGE_A}: {e}")))?,
            deadline: deadline(headers, now)?,
            credit: credit(headers),
        })
    }

    /// The headers that go with it.
    pub(crate) fn headers(&self) -> HeaderMap {
        let text = |s: &str| HeaderValue::from_str(s).expect("ids, cut names and JSON are visible ASCII");
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, text(&self.id));
        headers.insert(ENCODING, HeaderValue::from_static(encoding_name(self.format.encoding)));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.format.container.media_type()));
        if let Some(name) = self.format.compression.content_encoding() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        if let Some(cut) = &self.cut {
            headers.insert(CUT, text(cut));
        }
        if let Some(times) = &self.stage_a {
            headers.insert(STAGE_A, text(&serde_json::to_string(times).expect("plain numbers")));
        }
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            headers.insert(DEADLINE, text(&format!("{:.3}", left.as_secs_f64())));
        }
        if let Some(credit) = self.credit {
            headers.insert(CREDIT, credit.into());
        }
        headers
    }
}

/// The credit that came with a request; it can be told whatever else cannot be read.
pub(crate) fn credit(headers: &HeaderMap) -> Option<u64> {
    header(headers, &CREDIT)?.parse().ok()
}

/// The format that a client of A asks for its activation, where it asks.
///
/// # Errors
/// 415 for a name that is none.
pub(crate) fn wanted_format(headers: &HeaderMap, usual: Format) -> Result<Format, Failure> {
    let encoding = text(headers, &ENCODING)?.map(encoding_of).transpose()?;
    let compression = text(headers, &super::COMPRESSION)?.map(str::parse).transpose()?;
    Ok(Format {
        encoding: encoding.unwrap_or(usual.encoding),
        compression: compression.unwrap_or(usual.compression),
        container: match encoding {
            // Bare values have one encoding alone.
            Some(narrow) if narrow != Encoding::F32 => Container::Safetensors,
            _ => usual.container,
        },
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let value = headers.get(name).map(HeaderValue::to_str).transpose();
    value.map_err(|_| Failure::bad(format!("{name}: it is not plain text")))
}
