//! How much memory a GPU has. `wgpu` does not say, so each vendor's own way is asked.
//!
//! | GPU | who is asked |
//! | --- | --- |
//! | NVIDIA | `nvidia-smi`, which comes with the driver |
//! | AMD on Linux | the kernel's `mem_info_vram_total` |
//! | others | nobody: the operator may say it |

use std::{path::Path, process::Command};

/// The numbers that PCI gives to vendors.
const NVIDIA: u32 = 0x10de;
const AMD: u32 = 0x1002;

/// Where Linux shows what is on the bus.
const PCI_DEVICES: &str = "/sys/bus/pci/devices";

/// Bytes of a card's own memory, by its vendor and its place on the bus (`0000:01:00.0`), where that can be known.
pub(super) fn memory_bytes(vendor: u32, place: &str) -> Option<u64> {
    match vendor {
        NVIDIA => of_nvidia(place),
        AMD => of_file(Path::new(PCI_DEVICES), place),
        _ => None,
    }
}

/// Bytes of an NVIDIA card's memory, by its place on the bus or its number.
pub(super) fn of_nvidia(place: &str) -> Option<u64> {
    let mut command = Command::new("nvidia-smi");
    command.args(["--query-gpu=memory.total", "--format=csv,noheader,nounits"]).arg(format!("--id={place}"));
    let output = command.output().ok().filter(|output| output.status.success())?;
    mebibytes(&String::from_utf8_lossy(&output.stdout))
}

/// The first line, a number of mebibytes.
fn mebibytes(text: &str) -> Option<u64> {
    text.lines().next()?.trim().parse::<u64>().ok()?.checked_mul(1 << 20)
}

fn of_file(devices: &Path, place: &str) -> Option<u64> {
    std::fs::read_to_string(devices.join(place).join("mem_info_vram_total")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        assert_eq!(mebibytes("81559\n"), Some(81559 << 20));
        for text in ["", "[N/A]\n", "-1"] {
            assert_eq!(mebibytes(text), None, "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_file(folder.path(), "0000:01:00.0"), None);
        std::fs::create_dir(folder.path().join("0000:01:00.0")).unwrap();
        std::fs::write(folder.path().join("0000:01:00.0/mem_info_vram_total"), "17163091968\n").unwrap();
        assert_eq!(of_file(folder.path(), "0000:01:00.0"), Some(17_163_091_968));
    }
}
