//! What `torch.save` wrote: the tensors of a state dict, or one tensor alone.
//!
//! | format | of | where the values are |
//! |---|---|---|
//! | zip | PyTorch 1.6 and later | `NAME/data.pkl` describes the tensors, `NAME/data/KEY` holds the bytes of a storage, uncompressed |
//! | legacy | before, or when asked for | four pickles (magic number, version, machine, the object), the storages' keys, then each: a count, the values |
//!
//! A file of others is read as data. The pickles are read by a machine of our own that runs nothing
//! (`pickle.rs`), and nothing is allocated because the file claims a size: values are taken from bytes that
//! are there, and a tensor has at most as many elements as its storage.

mod pickle;
mod zip;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use safetensors::Dtype;

use self::pickle::{Object, Pickle, Storage, Tensor};

/// How a legacy file begins, after the first bytes of its first pickle: a number of ten bytes.
const MAGIC: [u8; 12] = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The version that follows it.
const LEGACY_VERSION: i64 = 1001;
/// Where training scripts put the state dict when they save more than that.
const STATE_DICTS: [&str; 2] = ["state_dict", "model"];

/// The tensors of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// The file is one tensor.
    Tensor(Stored),
    /// The file is a dict; its tensors by name.
    Tensors(BTreeMap<String, Stored>),
}

/// Where a tensor lies in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Type of an element, little endian.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Elements from one to the next, in each dimension.
    strides: Vec<usize>,
    /// The bytes of its storage, from its first element on.
    bytes: Range<usize>,
}

/// Why a file is none that `torch.save` wrote, or holds what is not read here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SavedError(String);

impl Saved {
    /// Whether a file begins as one of the formats.
    pub fn begins(file: &[u8]) -> bool {
        file.starts_with(&zip::BEGIN) || is_legacy(file)
    }

    /// Finds the tensors of a file.
    ///
    /// # Errors
    /// The file is damaged, or its pickle names anything but tensors, parameters and dicts of them.
    pub fn read(file: &[u8]) -> Result<Saved, SavedError> {
        let read = if is_legacy(file) { legacy(file) } else { zipped(file) };
        read.map_err(SavedError)
    }
}

impl Stored {
    /// A tensor whose elements lie one after the other in `bytes`, row-major.
    pub(crate) fn dense(dtype: Dtype, shape: Vec<usize>, bytes: Range<usize>) -> Stored {
        Stored { dtype, strides: row_major(&shape), shape, bytes }
    }

    /// Its elements in order, as float32.
    ///
    /// # Errors
    /// They are of a type that numbers are not kept in.
    pub fn values(&self, file: &[u8]) -> Result<Vec<f32>, String> {
        let bytes = self.in_order(&file[self.bytes.clone()]);
        fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
        }
        Ok(match self.dtype {
            Dtype::F32 => each(&bytes, f32::from_le_bytes),
            Dtype::F64 => each(&bytes, |b| f64::from_le_bytes(b) as f32),
            Dtype::F16 => each(&bytes, |b| half(u16::from_le_bytes(b))),
            Dtype::BF16 => each(&bytes, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
            Dtype::I64 => each(&bytes, |b| i64::from_le_bytes(b) as f32),
            other => return Err(format!("has type {other:?}; save it as float32")),
        })
    }

    /// The bytes of its elements, row-major and without gaps.
    fn in_order<'a>(&self, storage: &'a [u8]) -> Cow<'a, [u8]> {
        let size = self.dtype.bitsize() / 8;
        let elements: usize = self.shape.iter().product();
        if elements == 0 || self.strides == row_major(&self.shape) {
            return Cow::Borrowed(&storage[..elements * size]);
        }
        let mut places = vec![0];
        for (count, stride) in self.shape.iter().zip(&self.strides) {
            places = places.iter().flat_map(|at| (0..*count).map(move |i| at + i * stride)).collect();
        }
        places.iter().flat_map(|at| &storage[at * size..(at + 1) * size]).copied().collect()
    }
}

fn is_legacy(file: &[u8]) -> bool {
    // Later protocols put a frame before the number.
    let begin = &file[..file.len().min(32)];
    begin.first() == Some(&0x80) && begin.windows(MAGIC.len()).any(|window| window == MAGIC)
}

fn zipped(file: &[u8]) -> Result<Saved, String> {
    let entries = zip::entries(file)?;
    let folder = entries
        .keys()
        .find_map(|name| name.strip_suffix("/data.pkl"))
        .ok_or("a zip without data.pkl: torch.save did not write it")?;
    if entries.contains_key(format!("{folder}/constants.pkl").as_str()) {
        return Err("this is a TorchScript module, no state dict; serve a half of it with --module".into());
    }
    let entry = |name: &str| entries.get(format!("{folder}/{name}").as_str());
    if entry("byteorder").is_some_and(|range| file[range.clone()] != *b"little") {
        return Err("it was saved on a big-endian machine".into());
    }
    let description = entry("data.pkl").ok_or("data.pkl is gone")?;
    let (pickle, _) = Pickle::read(&file[description.clone()])?;
    collect(&pickle, |storage| {
        entry(&format!("data/{}", storage.key)).cloned().ok_or_else(|| "its values are missing".into())
    })
}

fn legacy(file: &[u8]) -> Result<Saved, String> {
    let mut at = 0;
    let mut next = || {
        let (pickle, length) = Pickle::read(&file[at..])?;
        at += length;
        Ok::<_, String>(pickle)
    };
    let (_magic, version, machine, object, keys) = (next()?, next()?, next()?, next()?, next()?);
    if !matches!(version.root(), Object::Int(LEGACY_VERSION)) {
        return Err(format!("a legacy file of another version than {LEGACY_VERSION}"));
    }
    if !matches!(machine.entry("little_endian"), Some(Object::Bool(true))) {
        return Err("it was saved on a big-endian machine".into());
    }
    let Object::List(keys_in_order) = keys.root() else { return Err("no list of its storages".into()) };
    let storages: BTreeMap<&str, &Storage> =
        object.storages().map(|storage| (storage.key, storage)).collect();
    let mut places = BTreeMap::new();
    for key in keys_in_order {
        let Object::Text(key) = keys.get(*key) else { return Err("a storage without a name".into()) };
        let storage = storages.get(key).ok_or_else(|| format!("storage {key} belongs to no tensor"))?;
        let short = || format!("cut short in storage {key}");
        let (count, _) = file[at..].split_first_chunk().ok_or_else(short)?;
        if u64::from_le_bytes(*count) != storage.elements as u64 {
            return Err(format!("storage {key} has another size than its tensors say"));
        }
        let begin = at + count.len();
        let bytes = storage.elements.checked_mul(storage.dtype.bitsize() / 8).ok_or_else(short)?;
        at = begin.checked_add(bytes).filter(|end| *end <= file.len()).ok_or_else(short)?;
        places.insert(*key, begin..at);
    }
    collect(&object, |storage| {
        places.get(storage.key).cloned().ok_or_else(|| "its values are missing".into())
    })
}

/// The tensors of the root object, given where each storage lies.
fn collect(
    pickle: &Pickle<'_>,
    place: impl Fn(&Storage<'_>) -> Result<Range<usize>, String>,
) -> Result<Saved, String> {
    let of = |name: &str, tensor: &Tensor<'_>| {
        let storage = &tensor.storage;
        let within = place(storage).and_then(|range| locate(tensor, range));
        within.map_err(|why| format!("{name} (storage {}): {why}", storage.key))
    };
    let mut root = pickle.root();
    if let Some(inner @ Object::Dict(_)) = STATE_DICTS.iter().find_map(|name| pickle.entry(name)) {
        root = inner;
    }
    match root {
        Object::Tensor(tensor) => Ok(Saved::Tensor(of("the tensor", tensor)?)),
        Object::Dict(entries) => {
            let mut tensors = BTreeMap::new();
            for (name, value) in entries {
                if let (Object::Text(name), Object::Tensor(tensor)) = (pickle.get(*name), pickle.get(*value))
                {
                    tensors.insert((*name).to_owned(), of(name, tensor)?);
                }
            }
            Ok(Saved::Tensors(tensors))
        }
        _ => Err("it holds neither a tensor nor a dict of tensors".into()),
    }
}

/// A tensor in its storage, which lies at `range`: whether it is all there.
fn locate(tensor: &Tensor<'_>, range: Range<usize>) -> Result<Stored, String> {
    let Tensor { storage, offset, shape, strides } = tensor;
    let size = storage.dtype.bitsize() / 8;
    if storage.elements.checked_mul(size).is_none_or(|bytes| bytes > range.len()) {
        return Err(format!("its {} elements are not all there", storage.elements));
    }
    let elements = shape.iter().try_fold(1usize, |product, count| product.checked_mul(*count));
    let Some(elements) = elements.filter(|elements| *elements <= storage.elements) else {
        return Err(format!("shape {shape:?} has more elements than its storage, {}", storage.elements));
    };
    let last = shape.iter().zip(strides).try_fold(*offset, |last, (count, stride)| {
        last.checked_add(count.saturating_sub(1).checked_mul(*stride)?)
    });
    if shape.len() != strides.len() || elements > 0 && last.is_none_or(|last| last >= storage.elements) {
        return Err(format!("shape {shape:?} with strides {strides:?} leaves its storage"));
    }
    let begin = range.start + if elements > 0 { offset * size } else { 0 };
    let bytes = begin..range.start + storage.elements * size;
    Ok(Stored { dtype: storage.dtype, shape: shape.clone(), strides: strides.clone(), bytes })
}

/// Elements from one to the next where there are no gaps and the last dimension is the innermost.
fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for at in (1..shape.len()).rev() {
        strides[at - 1] = strides[at].saturating_mul(shape[at]);
    }
    strides
}

/// A float16: 1 bit of sign, 5 of exponent, 10 of fraction.
fn half(bits: u16) -> f32 {
    let fraction = f32::from(bits & 0x3ff);
    let magnitude = match (bits >> 10) & 0x1f {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1024.0 + fraction) * 2f32.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}
