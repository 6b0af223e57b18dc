//! Where an image is: what kustomize is told of it.

use std::fmt;
use std::str::FromStr;

use splitscale_spec::Invalid;

/// `NAME`, `NAME:TAG`, `NAME@sha256:DIGEST`, or all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    name: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Image {
    /// The entry of a kustomization that puts it in the place of `placeholder`.
    pub(super) fn entry(&self, placeholder: &str) -> String {
        let mut entry = format!("  - name: {placeholder}\n    newName: {}\n", self.name);
        if let Some(digest) = &self.digest {
            // kustomize takes one of the two; a digest says all.
            return entry + &format!("    digest: {digest}\n");
        }
        if let Some(tag) = &self.tag {
            entry += &format!("    newTag: \"{tag}\"\n");
        }
        entry
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Image { name, tag, digest } = self;
        let part = |mark: &str, part: &Option<String>| {
            part.as_ref().map_or(String::new(), |part| format!("{mark}{part}"))
        };
        write!(f, "{name}{}{}", part(":", tag), part("@", digest))
    }
}

impl FromStr for Image {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Image, Invalid> {
        let bad = |what: &str| {
            Invalid::new("image", format!("{text:?} {what}; it takes NAME[:TAG][@sha256:DIGEST]"))
        };
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash is a port's.
        let (name, tag) = match named.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (named, None),
        };
        let of = |text: &str, more: &[u8]| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        if !of(name, b"._-/:") {
            return Err(bad("has no name"));
        }
        if tag.is_some_and(|tag| !of(tag, b"._-")) {
            return Err(bad("has a tag that is none"));
        }
        let hex = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if digest.is_some_and(|digest| !digest.strip_prefix("sha256:").is_some_and(hex)) {
            return Err(bad("has a digest that is none"));
        }
        Ok(Image { name: name.into(), tag: tag.map(Into::into), digest: digest.map(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag_and_a_digest_says_all() {
        let entry =
            |text: &str| text.parse::<Image>().map(|image| image.entry("x")).map_err(|e| e.to_string());
        let digest = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(entry("host:5000/a/b").unwrap(), "  - name: x\n    newName: host:5000/a/b\n");
        assert_eq!(
            entry("host:5000/a:1.2").unwrap(),
            "  - name: x\n    newName: host:5000/a\n    newTag: \"1.2\"\n"
        );
        assert_eq!(
            entry(&format!("a:1@{digest}")).unwrap(),
            format!("  - name: x\n    newName: a\n    digest: {digest}\n")
        );
        let whole = format!("host:5000/a:1@{digest}");
        assert_eq!(whole.parse::<Image>().unwrap().to_string(), whole);
        for bad in ["", ":1", "a b", "a:", "a@sha256:12", "a@1", "a:$(x)"] {
            assert!(entry(bad).unwrap_err().starts_with("image: "), "{bad}");
        }
    }
}
