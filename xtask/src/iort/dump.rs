//! Text of `acpidump`: each table's signature and address, then lines of an offset and up to 16 bytes.

/// A table in a dump.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub signature: [u8; 4],
    pub bytes: Vec<u8>,
}

/// Tells whether bytes are such text. A table's header has a byte below a blank in its Length unless it is huge.
pub fn is_dump(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(1 << 16)).unwrap_or(&[]);
    head.split(|byte| *byte == b'\n').any(|line| heading(line).is_some())
}

/// All tables of a dump, in its order. A line that is neither heading nor bytes in turn ends a table.
///
/// # Errors
/// A line of bytes at an offset that the lines before it do not reach: the dump was cut or mixed.
pub fn tables(bytes: &[u8]) -> Result<Vec<Table>, String> {
    let mut tables: Vec<Table> = Vec::new();
    let mut is_open = false;
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if let Some(signature) = heading(line) {
            tables.push(Table { signature, bytes: Vec::new() });
            is_open = true;
        } else if let (true, Some(table), Some((offset, row))) = (is_open, tables.last_mut(), row(line)) {
            if offset != table.bytes.len() as u64 {
                let (number, length) = (number + 1, table.bytes.len());
                return Err(format!("line {number} of the dump is for offset {offset:#x}, after {length:#x} bytes"));
            }
            table.bytes.extend(row);
        } else {
            is_open = false;
        }
    }
    Ok(tables)
}

/// Signature in `IORT @ 0x0000000000000000`.
fn heading(line: &[u8]) -> Option<[u8; 4]> {
    let (signature, rest) = line.split_first_chunk::<4>()?;
    let is_name = signature.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'!');
    (is_name && rest.starts_with(b" @ 0x")).then_some(*signature)
}

/// Offset and bytes of `    0010: 00 01 …  text`. The text may look like bytes, so only the columns of bytes count.
fn row(line: &[u8]) -> Option<(u64, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (offset, rest) = line.split_at(colon);
    let offset = u64::from_str_radix(std::str::from_utf8(offset).ok()?.trim(), 16).ok()?;
    let columns = rest.get(2..)?.chunks(3).take(16);
    let byte = |column: &[u8]| -> Option<u8> {
        let digits = std::str::from_utf8(column.get(..2)?).ok()?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
    };
    Some((offset, columns.map_while(byte).collect()))
}
