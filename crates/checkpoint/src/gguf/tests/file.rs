//! GGUF files built byte by byte, right or wrong.

/// A file to be built; every part can be made wrong.
#[derive(Clone)]
pub struct File {
    pub version: u32,
    pub alignment: usize,
    pub keys: Vec<(String, Vec<u8>)>,
    pub tensors: Vec<Tensor>,
}

/// A tensor to be built. `dims` are in the file's order, fastest first.
#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub dims: Vec<u64>,
    pub kind: u32,
    pub data: Vec<u8>,
    /// Where it is said to lie, if not where it lies.
    pub offset: Option<u64>,
}

pub fn text(text: &str) -> Vec<u8> {
    [&8_u32.to_le_bytes()[..], &string(text)].concat()
}

pub fn u32_value(value: u32) -> Vec<u8> {
    [4_u32.to_le_bytes(), value.to_le_bytes()].concat()
}

pub fn f32_value(value: f32) -> Vec<u8> {
    [6_u32.to_le_bytes(), value.to_le_bytes()].concat()
}

/// An array's type and length, its contents to follow.
pub fn array(kind: u32, count: u64) -> Vec<u8> {
    [&9_u32.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes()].concat()
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

impl File {
    /// A model of one layer with heads of two rows, without tensors of the layer.
    pub fn model(architecture: &str) -> Self {
        let mut file = Self { version: 3, alignment: 32, keys: Vec::new(), tensors: Vec::new() };
        file.set("general.architecture", text(architecture));
        for (key, value) in [
            ("embedding_length", 4),
            ("feed_forward_length", 8),
            ("block_count", 1),
            ("context_length", 16),
            ("attention.head_count", 2),
            ("attention.head_count_kv", 1),
        ] {
            file.set(&format!("{architecture}.{key}"), u32_value(value));
        }
        file.set(&format!("{architecture}.attention.layer_norm_rms_epsilon"), f32_value(1e-6));
        file.f32("token_embd.weight", &[4, 3]);
        file
    }

    /// Sets or replaces a key.
    pub fn set(&mut self, key: &str, value: Vec<u8>) -> &mut Self {
        match self.keys.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key.to_owned(), value)),
        }
        self
    }

    pub fn remove(&mut self, key: &str) -> &mut Self {
        self.keys.retain(|(known, _)| known != key);
        self
    }

    /// Adds a tensor of F32 that counts from 0.
    pub fn f32(&mut self, name: &str, dims: &[u64]) -> &mut Self {
        let count = dims.iter().product::<u64>();
        self.tensor(name, dims, 0, (0..count).flat_map(|i| (i as f32).to_le_bytes()).collect())
    }

    pub fn tensor(&mut self, name: &str, dims: &[u64], kind: u32, data: Vec<u8>) -> &mut Self {
        self.tensors.push(Tensor { name: name.into(), dims: dims.into(), kind, data, offset: None });
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            file.extend(string(key));
            file.extend(value);
        }
        let mut data: Vec<u8> = Vec::new();
        for tensor in &self.tensors {
            file.extend(string(&tensor.name));
            file.extend((tensor.dims.len() as u32).to_le_bytes());
            tensor.dims.iter().for_each(|dim| file.extend(dim.to_le_bytes()));
            file.extend(tensor.kind.to_le_bytes());
            file.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
            data.resize(data.len().next_multiple_of(self.alignment), 0);
        }
        file.resize(file.len().next_multiple_of(self.alignment), 0);
        file.extend(data);
        file
    }
}
