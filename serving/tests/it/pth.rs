//! Writes files of `torch.save`, too large to be committed or such as PyTorch would not write.

/// A tensor: name, elements of its storage, offset, shape, strides.
pub(crate) type Described<'a> = (&'a str, u32, u8, &'a [u32], &'a [u32]);

/// The pickle of a state dict of float32 tensors, each with a storage of its own: `0`, `1`, ...
pub(crate) fn pickle(tensors: &[Described<'_>]) -> Vec<u8> {
    described(tensors, b"")
}

/// The same; `tail` is what legacy files have more in the description of a storage.
fn described(tensors: &[Described<'_>], tail: &[u8]) -> Vec<u8> {
    let text = |text: &str| [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat();
    let number = |number: u32| [b"J".as_slice(), &number.to_le_bytes()].concat();
    let tuple = |numbers: &[u32]| {
        [b"(".to_vec(), numbers.iter().flat_map(|n| number(*n)).collect(), b"t".to_vec()].concat()
    };
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (key, (name, elements, offset, shape, strides)) in tensors.iter().enumerate() {
        for part in [
            text(name),
            b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
            text("storage"),
            b"ctorch\nFloatStorage\n".to_vec(),
            text(&key.to_string()),
            text("cpu"),
            number(*elements),
            tail.to_vec(),
            vec![b't', b'Q', b'K', *offset],
            tuple(shape),
            tuple(strides),
            b"\x89}tR".to_vec(),
        ] {
            out.extend(part);
        }
    }
    out.extend(b"u.");
    out
}

/// A state dict of dense float32 tensors in one of the two formats.
#[cfg(feature = "torch")]
pub(crate) fn state_dict(tensors: &[(String, Vec<usize>, Vec<u8>)], legacy: bool) -> Vec<u8> {
    let narrow = |sizes: &[usize]| -> Vec<u32> { sizes.iter().map(|size| *size as u32).collect() };
    let sizes: Vec<_> = tensors
        .iter()
        .map(|(_, shape, _)| {
            let strides: Vec<usize> = (0..shape.len()).map(|at| shape[at + 1..].iter().product()).collect();
            (narrow(shape), narrow(&strides))
        })
        .collect();
    let list: Vec<Described<'_>> = tensors
        .iter()
        .zip(&sizes)
        .map(|((name, _, bytes), (shape, strides))| {
            (name.as_str(), bytes.len() as u32 / 4, 0, shape.as_slice(), strides.as_slice())
        })
        .collect();
    let storages: Vec<&[u8]> = tensors.iter().map(|(.., bytes)| bytes.as_slice()).collect();
    if !legacy {
        return zip(&pickle(&list), &storages);
    }
    let mut file = legacy_of(&described(&list, b"N"));
    file.extend(b"\x80\x02](");
    for key in 0..storages.len() {
        let key = key.to_string();
        file.extend([b"U".as_slice(), &[key.len() as u8], key.as_bytes()].concat());
    }
    file.extend(b"e.");
    for storage in storages {
        file.extend((storage.len() as u64 / 4).to_le_bytes());
        file.extend(storage);
    }
    file
}

/// One tensor, as the original sends its activations.
pub(crate) fn tensor(shape: &[u32], strides: &[u32], values: &[u8]) -> Vec<u8> {
    let dict = pickle(&[("", values.len() as u32 / 4, 0, shape, strides)]);
    // What stands between the key and the end of the dict.
    let begin = b"\x80\x02ccollections\nOrderedDict\n)R(X\0\0\0\0".len();
    let bare = [b"\x80\x02", &dict[begin..dict.len() - 2], b"."].concat();
    zip(&bare, &[values])
}

/// The first three pickles of a legacy file, and this one.
pub(crate) fn legacy_of(pickle: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".as_slice();
    [magic, b"\x80\x02M\xe9\x03.", b"\x80\x02}(U\x0dlittle_endian\x88u.", pickle].concat()
}

/// The zip of a pickle and its storages.
pub(crate) fn zip(pickle: &[u8], storages: &[&[u8]]) -> Vec<u8> {
    let names: Vec<String> = (0..storages.len()).map(|key| format!("archive/data/{key}")).collect();
    let storages = names.iter().zip(storages).map(|(name, bytes)| (name.as_str(), *bytes));
    let pickle = [("archive/data.pkl", pickle), ("archive/byteorder", b"little")];
    zip_of(&pickle.into_iter().chain(storages).collect::<Vec<_>>())
}

/// A zip of these entries, stored.
pub(crate) fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let [place, size, name_size] =
            [file.len(), bytes.len(), name.len()].map(|number| (number as u32).to_le_bytes());
        // Version, flags, method, time, date and checksum: zeros.
        let common = [&[0; 14], size.as_slice(), &size, &name_size[..2], &[0; 2]].concat();
        file.extend([b"PK\x03\x04", common.as_slice(), name.as_bytes(), bytes].concat());
        let rest = [&[0; 10], place.as_slice(), name.as_bytes()].concat();
        directory.extend([b"PK\x01\x02\0\0", common.as_slice(), &rest].concat());
    }
    let [count, size, place] =
        [entries.len(), directory.len(), file.len()].map(|number| (number as u32).to_le_bytes());
    let end = [b"PK\x05\x06\0\0\0\0", &count[..2], &count[..2], &size, &place, &[0; 2]].concat();
    [file, directory, end].concat()
}
