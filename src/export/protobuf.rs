//! Writing the wire format of protocol buffers,
//! <https://protobuf.dev/programming-guides/encoding>: messages of fields by number.

/// A message as it is written, field by field.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// An integer, boolean or enum field.
    pub(crate) fn integer(mut self, field: u32, value: i64) -> Self {
        self.key(field, 0);
        // Negative ones take ten bytes, as two's complement in 64 bits.
        varint(&mut self.0, value as u64);
        self
    }

    /// A 32-bit floating-point field.
    pub(crate) fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A 64-bit floating-point field.
    #[cfg(feature = "figures")]
    pub(crate) fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A string or bytes field.
    pub(crate) fn bytes(mut self, field: u32, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.0.extend(open(field, value.len() as u64));
        self.0.extend(value);
        self
    }

    /// A field that is a message.
    pub(crate) fn message(self, field: u32, message: Self) -> Self {
        self.bytes(field, message.0)
    }

    /// A field for each of several messages.
    pub(crate) fn messages(self, field: u32, messages: impl IntoIterator<Item = Self>) -> Self {
        messages.into_iter().fold(self, |all, message| all.message(field, message))
    }

    /// A field for each of several integers.
    pub(crate) fn integers(self, field: u32, values: &[i64]) -> Self {
        values.iter().fold(self, |message, &value| message.integer(field, value))
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u32, wire_type: u64) {
        varint(&mut self.0, u64::from(field) << 3 | wire_type);
    }
}

/// What stands before the bytes of a string, bytes or message field.
pub(crate) fn open(field: u32, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint(&mut bytes, u64::from(field) << 3 | 2);
    varint(&mut bytes, length);
    bytes
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
