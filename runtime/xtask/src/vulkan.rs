//! A Vulkan driver for the tests of inference on GPUs: the machine's own, or Mesa's `llvmpipe`, which computes on the CPU.
//!
//! | way | what it takes |
//! | --- | --- |
//! | `$VK_DRIVER_FILES` or `$VK_ICD_FILENAMES`; a driver and a loader where systems keep them | nothing, and nothing is exported |
//! | Debian's packages, unpacked into `<data>/vulkan/debian` | apt and an archive, no root |
//! | on macOS and Windows the system's own graphics interface | nothing |
//!
//! What is unpacked is told to the tests by environment variables of theirs alone.

use crate::{
    data_folder::{DataFolder, beside, make_folder, remove_folder, replace_folder, write_file},
    debian::{self, Archive, Selection},
    progress::{self, Step},
};
use anyhow::{Context as _, Result, bail};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

const NAME: &str = "vulkan";

/// Variables that name drivers to the Vulkan loader, the newer one first.
const DRIVER_VARIABLES: [&str; 2] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];

/// Where drivers describe themselves to the loader.
const DRIVER_FOLDERS: &[&str] =
    &["/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d", "/usr/local/etc/vulkan/icd.d"];

/// Where the loader is, or one level below.
const LIBRARY_FOLDERS: &[&str] = &["/lib", "/usr/lib", "/usr/lib64", "/usr/local/lib"];
const LOADER: &str = "libvulkan.so.1";
const DRIVER: &str = "libvulkan_lvp.so";

/// Our description of the unpacked driver.
const DESCRIPTION: &str = "llvmpipe.json";

/// A driver that is there.
pub(crate) struct Vulkan {
    /// For people: where it comes from.
    pub(crate) description: String,
    /// The unpacked tree that programs have to be told of.
    unpacked: Option<PathBuf>,
}

impl Vulkan {
    /// What is here already; changes nothing.
    pub(crate) fn find(data: &DataFolder) -> Option<Self> {
        let own = |description: String| Vulkan { description, unpacked: None };
        if !cfg!(target_os = "linux") {
            return Some(own("the system's own graphics interface".to_owned()));
        }
        if let Some(name) = DRIVER_VARIABLES.into_iter().find(|name| variable(name).is_some()) {
            return Some(own(format!("the drivers that ${name} names")));
        }
        if has_loader()
            && let Some(driver) = system_driver()
        {
            return Some(own(driver.display().to_string()));
        }
        let place = place(data);
        let description = std::fs::read_to_string(place.join("stamp")).ok()?.trim_end().to_owned();
        Some(Vulkan { description, unpacked: Some(place) })
    }

    /// Takes what is here, or gets it.
    ///
    /// # Errors
    ///
    /// No way works; the sentence says which ways there are.
    pub(crate) fn ensure(data: &DataFolder) -> Result<Self> {
        let _lock = data.lock()?;
        if let Some(found) = Vulkan::find(data) {
            progress::already(NAME, &found.description);
            return Ok(found);
        }
        unpack_debian(data).context(
            "no Vulkan driver: install Mesa's with the loader (`apt install mesa-vulkan-drivers libvulkan1`, \
             `dnf install mesa-vulkan-drivers vulkan-loader`), and run this again",
        )
    }

    /// Tells a program where the driver is.
    ///
    /// # Errors
    ///
    /// The driver's own folder for sockets cannot be made.
    pub(crate) fn apply(&self, command: &mut Command) -> Result<()> {
        let Some(root) = &self.unpacked else { return Ok(()) };
        for name in DRIVER_VARIABLES {
            command.env(name, root.join(DESCRIPTION));
        }
        command.env("LD_LIBRARY_PATH", debian::library_search(root, variable("LD_LIBRARY_PATH").as_ref())?);
        if variable("XDG_RUNTIME_DIR").is_none() {
            let folder = root.join("run");
            make_folder(&folder)?;
            command.env("XDG_RUNTIME_DIR", folder);
        }
        Ok(())
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn entries(folder: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn system_driver() -> Option<PathBuf> {
    let mut files = DRIVER_FOLDERS.iter().flat_map(entries);
    files.find(|file| file.extension().is_some_and(|extension| extension == "json"))
}

fn has_loader() -> bool {
    let below = LIBRARY_FOLDERS.iter().flat_map(entries).filter(|entry| entry.is_dir());
    below.chain(LIBRARY_FOLDERS.iter().map(PathBuf::from)).any(|folder| folder.join(LOADER).is_file())
}

fn place(data: &DataFolder) -> PathBuf {
    data.join("vulkan/debian")
}

/// The caller holds the data folder's lock.
fn unpack_debian(data: &DataFolder) -> Result<Vulkan> {
    let place = place(data);
    let partial = beside(&place, "partial");
    let Some(mut archive) = Archive::open(&partial) else { bail!("this system has no apt and dpkg to get it with") };
    let step = Step::start(NAME, &format!("unpacking Debian's software driver into {}", place.display()));
    let selection = Selection {
        roots: &["mesa-vulkan-drivers", "libvulkan1"],
        follow: &[],
        // The drivers of cards, and what the libraries' users read.
        leave: &["./usr/share", "./usr/lib/*/libvulkan_[!l]*", "./usr/lib/*/libVkLayer*"],
    };
    let packages = archive.assemble(&selection, &step)?;
    let root = archive.root();
    let driver = debian::library(&root, DRIVER)
        .with_context(|| format!("Debian's package mesa-vulkan-drivers holds no {DRIVER}"))?;
    write_file(&root.join(DESCRIPTION), description(&driver).as_bytes())?;
    let mesa = packages.iter().find(|package| package.title().starts_with("mesa-vulkan-drivers"));
    let version = mesa.map(debian::Package::version).unwrap_or_default();
    write_file(&root.join("stamp"), format!("llvmpipe {version} from Debian's packages").as_bytes())?;
    replace_folder(&root, &place)?;
    remove_folder(&partial)?;
    let Some(vulkan) = Vulkan::find(data) else { bail!("{} is gone again; run this again", place.display()) };
    step.done(&vulkan.description);
    Ok(vulkan)
}

/// What the loader reads; a path that begins with a dot starts from the description's folder.
///
/// Source: "Vulkan-Loader interface to drivers", Khronos.
fn description(driver: &Path) -> String {
    let driver = serde_json::json!({ "library_path": format!("./{}", driver.display()), "api_version": "1.3.0" });
    serde_json::json!({ "file_format_version": "1.0.0", "ICD": driver }).to_string()
}

#[cfg(test)]
mod unit_tests {
    use super::{DESCRIPTION, Vulkan, description};
    use std::{path::Path, process::Command};

    #[test]
    fn a_driver_is_described_from_its_tree() {
        let text = description(Path::new("usr/lib/x/libvulkan_lvp.so"));
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read["ICD"]["library_path"], "./usr/lib/x/libvulkan_lvp.so");
    }

    #[test]
    fn programs_are_told_of_what_was_unpacked_only() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let told = |unpacked| {
            let mut command = Command::new("true");
            Vulkan { description: String::new(), unpacked }.apply(&mut command).expect("it is applied");
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect::<Vec<_>>()
        };
        assert!(told(None).is_empty());
        let root = scratch.path().to_owned();
        let driver = Some(root.join(DESCRIPTION).into_os_string());
        assert!(told(Some(root)).contains(&("VK_DRIVER_FILES".into(), driver)));
    }
}
