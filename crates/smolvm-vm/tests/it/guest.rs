//! Guests of a few instructions.

/// What a guest does after it wrote on its console.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// Nothing, for ever.
    Hang,
    /// It resets the machine, as a kernel does after a panic.
    Reset,
}

/// A multiboot kernel that writes `text` on the serial console.
pub(crate) fn kernel(text: &str, then: Then) -> Vec<u8> {
    const LOAD: u32 = 0x10_0000;
    const HEADER: u32 = 0x20;
    const MAGIC: u32 = 0x1bad_b002;
    /// The header says where to load.
    const FLAGS: u32 = 0x0001_0000;
    let end: &[u8] = match then {
        // cli; hlt; jmp to the hlt
        Then::Hang => &[0xfa, 0xf4, 0xeb, 0xfd],
        // An empty interrupt table and an interrupt: lidt [esi]; int3. What follows the text is zero.
        Then::Reset => &[0x0f, 0x01, 0x1e, 0xcc],
    };
    // esi = text; lodsb; test al, al; jz end; mov dx, 0x3f8; out dx, al; jmp to the lodsb
    let mut code = vec![0xbe, 0, 0, 0, 0, 0xac, 0x84, 0xc0, 0x74, 7, 0x66, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf4];
    code.extend_from_slice(end);
    let text_at = LOAD + HEADER + u32::try_from(code.len()).unwrap();
    code[1..5].copy_from_slice(&text_at.to_le_bytes());
    code.extend_from_slice(text.as_bytes());
    code.extend_from_slice(&[0; 16]);
    let load_end = LOAD + HEADER + u32::try_from(code.len()).unwrap();
    let header = [MAGIC, FLAGS, 0u32.wrapping_sub(MAGIC + FLAGS), LOAD, LOAD, load_end, load_end, LOAD + HEADER];
    header.into_iter().flat_map(u32::to_le_bytes).chain(code).collect()
}
