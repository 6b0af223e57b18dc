//! The part of Python's pickle that state dicts are written in.
//!
//! A pickle is a program for a machine with a stack and a memo, and Python's own machine calls whatever
//! function the program names. This one calls nothing: it knows five names, writes down what each would make,
//! and refuses every other name and instruction.
//!
//! | instruction | does |
//! |---|---|
//! | constants, `GLOBAL` | push an object |
//! | `MARK`, `TUPLE`, `APPENDS`, `SETITEMS` | make one of what lies on the stack since the mark |
//! | `BINPUT`, `BINGET` | write the top into the memo, push what is there |
//! | `BINPERSID` | a tuple becomes the storage that it describes |
//! | `REDUCE` | a name and its arguments become the tensor or dict that they describe |
//!
//! Objects are numbers of places in one list, so that ones that hold each other do no harm.

use std::collections::BTreeMap;

use safetensors::Dtype;

/// Most instructions of a pickle, of which each makes one thing at most: ResNet-50's has twenty thousand, and
/// one that repeats `EMPTY_DICT` would fill the memory.
const INSTRUCTIONS_MAX: usize = 1 << 20;

/// Most dimensions of a tensor, PyTorch's own bound: a long shape that many tensors name would fill it too.
const DIMENSIONS_MAX: usize = 64;

/// What a pickle describes.
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
}

/// Place of an object.
type Id = usize;

/// Something that a pickle describes.
#[derive(Debug, PartialEq)]
pub(super) enum Object<'a> {
    /// `None`.
    None,
    /// A number of which nobody asks more.
    Number,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Name(Name),
    Storage(Storage<'a>),
    Tensor(Tensor<'a>),
}

/// The names that a pickle may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Name {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

/// Values that tensors share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    pub(super) dtype: Dtype,
    pub(super) elements: usize,
}

/// A view of a storage; offset and strides in elements.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// The machine.
struct Machine<'a> {
    program: &'a [u8],
    at: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl<'a> Pickle<'a> {
    /// Runs the pickle at the beginning of `program`; also says how long it is.
    pub(super) fn read(program: &'a [u8]) -> Result<(Pickle<'a>, usize), String> {
        let mut machine = Machine {
            program,
            at: 0,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
        };
        match machine.run() {
            Ok(root) => Ok((Pickle { objects: machine.objects, root }, machine.at)),
            Err(why) => Err(format!("its pickle, before byte {}: {why}", machine.at)),
        }
    }

    pub(super) fn root(&self) -> &Object<'a> {
        &self.objects[self.root]
    }

    pub(super) fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id]
    }

    /// The value under this name, where the root is a dict.
    pub(super) fn entry(&self, name: &str) -> Option<&Object<'a>> {
        let Object::Dict(entries) = self.root() else { return None };
        let found = entries.iter().rfind(|(key, _)| *self.get(*key) == Object::Text(name));
        found.map(|(_, value)| self.get(*value))
    }

    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage<'a>> {
        self.objects.iter().filter_map(|object| match object {
            Object::Storage(storage) => Some(storage),
            _ => None,
        })
    }
}

impl<'a> Machine<'a> {
    /// Runs until `STOP`; the object that is then on top.
    fn run(&mut self) -> Result<Id, String> {
        for _ in 0..INSTRUCTIONS_MAX {
            let [instruction] = self.take()?;
            match instruction {
                // PROTO, FRAME: only for who reads in pieces.
                0x80 => drop(self.take::<1>()?),
                0x95 => drop(self.take::<8>()?),
                b'.' => return self.pop(),
                b'N' => self.push(Object::None),
                0x88 => self.push(Object::Bool(true)),
                0x89 => self.push(Object::Bool(false)),
                b'G' => {
                    self.take::<8>()?;
                    self.push(Object::Number);
                }
                b'K' => {
                    let [value] = self.take()?;
                    self.push(Object::Int(value.into()));
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.take()?);
                    self.push(Object::Int(value.into()));
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.take()?);
                    self.push(Object::Int(value.into()));
                }
                0x8a => {
                    let [length] = self.take()?;
                    let bytes = self.slice(length.into())?;
                    self.push(integer(bytes).map_or(Object::Number, Object::Int));
                }
                // BINUNICODE, SHORT_BINUNICODE; BINSTRING, SHORT_BINSTRING of Python 2.
                b'X' | b'T' => {
                    let length = u32::from_le_bytes(self.take()?);
                    self.text(length as usize)?;
                }
                0x8c | b'U' => {
                    let [length] = self.take()?;
                    self.text(length.into())?;
                }
                b')' => self.push(Object::Tuple(Vec::new())),
                b']' => self.push(Object::List(Vec::new())),
                b'}' => self.push(Object::Dict(Vec::new())),
                b'(' => self.marks.push(self.stack.len()),
                b't' => {
                    let parts = self.since_mark()?;
                    self.push(Object::Tuple(parts));
                }
                0x85..=0x87 => {
                    let count = usize::from(instruction - 0x84);
                    let from = self.stack.len().checked_sub(count).ok_or("the stack is empty")?;
                    let parts = self.stack.split_off(from);
                    self.push(Object::Tuple(parts));
                }
                b'a' => {
                    let part = self.pop()?;
                    self.list()?.push(part);
                }
                b'e' => {
                    let parts = self.since_mark()?;
                    self.list()?.extend(parts);
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.dict()?.push((key, value));
                }
                b'u' => {
                    let parts = self.since_mark()?;
                    let (pairs, rest) = parts.as_chunks();
                    if !rest.is_empty() {
                        return Err("a key without a value".into());
                    }
                    self.dict()?.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                }
                b'q' => {
                    let [index] = self.take()?;
                    self.memo.insert(index.into(), self.top()?);
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.memo.insert(index, self.top()?);
                }
                0x94 => {
                    self.memo.insert(self.memo.len() as u32, self.top()?);
                }
                b'h' => {
                    let [index] = self.take()?;
                    self.recall(index.into())?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.recall(index)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Object::Name(Name::of(module, name)?));
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Object::Text(module), Object::Text(name)) =
                        (&self.objects[module], &self.objects[name])
                    else {
                        return Err("a name that is no text".into());
                    };
                    let name = Name::of(module, name)?;
                    self.push(Object::Name(name));
                }
                b'Q' => {
                    let description = self.pop()?;
                    let storage = self.storage(description)?;
                    self.push(Object::Storage(storage));
                }
                b'R' => self.reduce()?,
                b'b' => {
                    // The state of a dict that has one, `_metadata`, says nothing about its tensors.
                    self.pop()?;
                    self.dict()?;
                }
                other => return Err(format!("instruction 0x{other:02x}, which no state dict needs")),
            }
        }
        Err(format!("more than {INSTRUCTIONS_MAX} instructions"))
    }

    /// A name and its arguments become what they describe.
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, name) = (self.pop()?, self.pop()?);
        let (Object::Name(name), Object::Tuple(arguments)) = (&self.objects[name], &self.objects[arguments])
        else {
            return Err("a call of what is no name".into());
        };
        let made = match (name, arguments.as_slice()) {
            (Name::OrderedDict, []) => Object::Dict(Vec::new()),
            (Name::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let Object::Storage(storage) = &self.objects[*storage] else {
                    return Err("a tensor without a storage".into());
                };
                Object::Tensor(Tensor {
                    storage: *storage,
                    offset: self.size(*offset)?,
                    shape: self.sizes(*shape)?,
                    strides: self.sizes(*strides)?,
                })
            }
            (Name::RebuildParameter, [tensor, ..]) => match &self.objects[*tensor] {
                Object::Tensor(tensor) => Object::Tensor(tensor.clone()),
                _ => return Err("a parameter that is no tensor".into()),
            },
            (name, _) => return Err(format!("{name:?} with other arguments than torch.save gives it")),
        };
        self.push(made);
        Ok(())
    }

    /// The storage that a tuple describes: `storage`, its type, its key, its device, its elements; in legacy
    /// files also which part of another it is, if it is one.
    fn storage(&self, description: Id) -> Result<Storage<'a>, String> {
        let Object::Tuple(parts) = &self.objects[description] else {
            return Err("a storage that is not described".into());
        };
        let parts: Vec<&Object<'a>> = parts.iter().map(|part| &self.objects[*part]).collect();
        match parts.as_slice() {
            [
                Object::Text("storage"),
                Object::Name(Name::Storage(dtype)),
                Object::Text(key),
                _,
                Object::Int(elements),
            ]
            | [
                Object::Text("storage"),
                Object::Name(Name::Storage(dtype)),
                Object::Text(key),
                _,
                Object::Int(elements),
                Object::None,
            ] => {
                let elements = usize::try_from(*elements).map_err(|_| "a storage of a negative size")?;
                Ok(Storage { key, dtype: *dtype, elements })
            }
            _ => Err("a storage that is described in another way than torch.save's".into()),
        }
    }

    fn size(&self, id: Id) -> Result<usize, String> {
        match self.objects[id] {
            Object::Int(size) => usize::try_from(size).map_err(|_| format!("a size of {size}")),
            _ => Err("a size that is no number".into()),
        }
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>, String> {
        let Object::Tuple(sizes) = &self.objects[id] else { return Err("a shape that is no tuple".into()) };
        if sizes.len() > DIMENSIONS_MAX {
            return Err(format!("a shape of {} dimensions, at most {DIMENSIONS_MAX} are read", sizes.len()));
        }
        sizes.iter().map(|size| self.size(*size)).collect()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (bytes, _) = self.program[self.at..].split_first_chunk().ok_or("cut short")?;
        self.at += N;
        Ok(*bytes)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (bytes, _) = self.program[self.at..].split_at_checked(length).ok_or("cut short")?;
        self.at += length;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.program[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or("cut short")?;
        self.at += length + 1;
        str::from_utf8(&rest[..length]).map_err(|_| "a name that is no text".into())
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = str::from_utf8(self.slice(length)?).map_err(|_| "a text that is not UTF-8")?;
        self.push(Object::Text(text));
        Ok(())
    }

    fn push(&mut self, object: Object<'a>) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "the stack is empty".into())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "the stack is empty".into())
    }

    fn recall(&mut self, index: u32) -> Result<(), String> {
        self.stack.push(*self.memo.get(&index).ok_or_else(|| format!("nothing was memorised as {index}"))?);
        Ok(())
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or("no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    fn list(&mut self) -> Result<&mut Vec<Id>, String> {
        match self.top().map(|id| &mut self.objects[id])? {
            Object::List(parts) => Ok(parts),
            _ => Err("something is put into what is no list".into()),
        }
    }

    fn dict(&mut self) -> Result<&mut Vec<(Id, Id)>, String> {
        match self.top().map(|id| &mut self.objects[id])? {
            Object::Dict(entries) => Ok(entries),
            _ => Err("something is put into what is no dict".into()),
        }
    }
}

impl Name {
    fn of(module: &str, name: &str) -> Result<Name, String> {
        let dtype = match (module, name) {
            ("collections", "OrderedDict") => return Ok(Name::OrderedDict),
            // The first is of before 2018.
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => return Ok(Name::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => return Ok(Name::RebuildParameter),
            ("torch", "FloatStorage") => Dtype::F32,
            ("torch", "DoubleStorage") => Dtype::F64,
            ("torch", "HalfStorage") => Dtype::F16,
            ("torch", "BFloat16Storage") => Dtype::BF16,
            ("torch", "LongStorage") => Dtype::I64,
            ("torch", "IntStorage") => Dtype::I32,
            ("torch", "ShortStorage") => Dtype::I16,
            ("torch", "CharStorage") => Dtype::I8,
            ("torch", "ByteStorage") => Dtype::U8,
            ("torch", "BoolStorage") => Dtype::BOOL,
            _ => {
                return Err(format!(
                    "it wants {:?}, which is no part of a state dict; nothing of it was run",
                    format!("{module}.{name}")
                ));
            }
        };
        Ok(Name::Storage(dtype))
    }
}

/// A number of up to eight bytes, little endian, in two's complement.
fn integer(bytes: &[u8]) -> Option<i64> {
    let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [sign; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}
