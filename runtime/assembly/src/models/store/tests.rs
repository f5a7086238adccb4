//! Files that come, are kept, and go.

use super::*;

fn known(name: &str, content: &[u8]) -> KnownFile {
    let sha256 = copy_hashing(content, &mut io::sink(), &mut |_| ()).expect("memory").sha256;
    KnownFile { name: name.into(), from: None, bytes: content.len() as u64, sha256 }
}

/// A model of a hub that is not asked.
fn model(files: Vec<KnownFile>) -> KnownModel {
    let hub = HubRepository { repository: "owner/name".into(), revision: "main".into() };
    KnownModel::in_hub("m".into(), hub, files)
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("it is readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn only_the_right_file_is_kept() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let store = ModelStore::of(&Home::at(folder.path().to_owned()));
    let (model, source) = (model(vec![known("model.gguf", b"weights")]), folder.path().join("source"));
    assert!(matches!(store.find(&model), Err(ModelError::Missing(_))));
    for wrong in [&b"weightz"[..], b"weight", b"weights and more"] {
        fs::write(&source, wrong).expect("it is writable");
        let error = store.pull(&model, Some(&source), &mut |_| ()).expect_err("it is another file");
        assert!(matches!(error, ModelError::WrongFile { .. }), "{error}");
        assert!(files_in(&folder.path().join("models/m")).is_empty(), "nothing half-written is left");
    }
    fs::write(&source, b"weights").expect("it is writable");
    let stored = store.pull(&model, Some(&source), &mut |_| ()).expect("it is the right file");
    assert_eq!(store.verify(&model, &mut |_| ()).expect("it is whole"), stored);
    assert_eq!((stored.path.file_name(), &stored.sha256), (Some("model.gguf".as_ref()), &model.files[0].sha256));
    fs::write(&stored.path, b"weightz").expect("it is writable");
    assert!(matches!(store.verify(&model, &mut |_| ()), Err(ModelError::Damaged { .. })));
    assert!(store.remove(&model).expect("it can be deleted"));
    assert!(!store.remove(&model).expect("nothing is left"));
}

#[test]
fn a_model_of_several_files_is_here_when_all_of_them_are() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let store = ModelStore::of(&Home::at(folder.path().to_owned()));
    let other = KnownFile { from: Some("deep/b".into()), ..known("b.json", b"{}") };
    let model = model(vec![known("a.safetensors", b"weights"), other]);
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("deep")).expect("it is writable");
    fs::write(source.join("a.safetensors"), b"weights").expect("it is writable");
    let error = store.pull(&model, Some(&source), &mut |_| ()).expect_err("one is not there");
    assert!(matches!(&error, ModelError::Io { path, .. } if path.ends_with("deep/b")), "{error}");
    assert!(matches!(store.find(&model), Err(ModelError::Missing(_))));
    fs::write(source.join("deep/b"), b"{}").expect("it is writable");
    let stored = store.pull(&model, Some(&source), &mut |_| ()).expect("both are there");
    assert_eq!(stored.path, folder.path().join("models/m"));
    assert_eq!(files_in(&stored.path), ["a.safetensors", "b.json"]);
    let list = model.files.iter().map(|file| format!("{}  {}\n", file.sha256, file.name)).collect::<String>();
    assert_eq!(stored.sha256, hexadecimal(Sha256::digest(list)));
}

#[test]
fn an_adapters_digest_changes_with_its_base() {
    let stored = |sha256: &str| Stored { path: PathBuf::new(), sha256: sha256.into() };
    let digest = |adapter: &str, base: &str| stored(adapter).digest_on(&stored(base));
    assert_eq!(digest("1a", "2b"), hexadecimal(Sha256::digest("2b  base\n1a  adapter\n")));
    assert_ne!(digest("1a", "2b"), digest("1a", "2c"));
    assert_ne!(digest("1a", "2b"), digest("1b", "2b"));
    assert_ne!(digest("1a", "2b"), digest("2b", "1a"));
}

#[test]
fn files_of_a_folder_are_used_where_they_lie_and_never_deleted() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let home = Home::at(folder.path().join("home"));
    let store = ModelStore::of(&home);
    let path = folder.path().join("mine.gguf");
    fs::write(&path, b"weights").expect("it is writable");
    let file = describe(&path, &mut |_| ()).expect("it can be read");
    assert_eq!(file, known("mine.gguf", b"weights"));
    let model = KnownModel::in_folder("mine".into(), folder.path().to_owned(), vec![file]);
    Registry::keep(&home, model.clone()).expect("it is right");
    assert_eq!(store.pull(&model, None, &mut |_| ()).expect("it is here").path, path);
    assert!(!store.remove(&model).expect("there is nothing of its own"));
    assert!(path.exists());
    fs::write(&path, b"weight").expect("it is writable");
    assert!(matches!(store.find(&model), Err(ModelError::Elsewhere { .. })));
}

#[test]
fn what_an_interrupted_pull_left_is_removed() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let store = ModelStore::of(&Home::at(folder.path().to_owned()));
    let (model, source) = (model(vec![known("model.gguf", b"weights")]), folder.path().join("source"));
    let left = folder.path().join("models/m/.unfinished-abc");
    fs::create_dir_all(folder.path().join("models/m")).expect("it is writable");
    fs::write(&left, b"wei").expect("it is writable");
    fs::write(&source, b"weights").expect("it is writable");
    store.pull(&model, Some(&source), &mut |_| ()).expect("it is the right file");
    assert_eq!(files_in(&folder.path().join("models/m")), ["model.gguf"]);
}
