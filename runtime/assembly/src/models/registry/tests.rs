//! Lists that are right and wrong, and the operator's own.

use super::*;

const DIGEST: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

#[test]
fn the_built_in_list_is_whole() {
    let registry = Registry::built_in();
    assert!(registry.find(&registry.default_model().name).is_ok());
    let unknown = registry.find("gpt").expect_err("no such model");
    assert!(unknown.to_string().contains("smollm2"));
}

fn check(list: &str, words: &str) {
    let list = list.replace("FILE", &format!("[[model.file]]\nname = \"m\"\nbytes = 1\nsha256 = \"{DIGEST}\"\n"));
    let error = Registry::built_in().add_list(&list, Path::new("models.toml")).expect_err("it is wrong");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_list_that_is_wrong_says_where_and_in_what() {
    check("[[model]]\nname = 1", "line 2");
    check("[[model]]\nname = \"m\"\nfoldr = \"/a\"\nFILE", "foldr");
    check("[[model]]\nname = \"M\"\nfolder = \"/a\"\nFILE", "is no name");
    check("[[model]]\nname = \"../m\"\nfolder = \"/a\"\nFILE", "is no name");
    check("[[model]]\nname = \"m\"\nFILE", "has 0 sources");
    check("[[model]]\nname = \"m\"\nfolder = \"/a\"\nhub = { repository = \"a/b\" }\nFILE", "has 2 sources");
    check("[[model]]\nname = \"m\"\nfolder = \"a\"\nFILE", "relative");
    check("[[model]]\nname = \"m\"\nfolder = \"/a\"\nfile = []", "has 0 files");
    check("[[model]]\nname = \"m\"\nfolder = \"/a\"\nFILEFILE", "is there twice");
    check("[[model]]\nname = \"smollm2\"\nfolder = \"/a\"\nFILE", "built in");
    for name in ["../m", "a/m", "", ".", ".m"] {
        let file = format!("[[model.file]]\nname = {name:?}\nbytes = 1\nsha256 = \"{DIGEST}\"\n");
        check(&format!("[[model]]\nname = \"m\"\nfolder = \"/a\"\n{file}"), "no plain file name");
    }
    for from in ["../m", "/m", ""] {
        let file = format!("[[model.file]]\nname = \"m\"\nfrom = {from:?}\nbytes = 1\nsha256 = \"{DIGEST}\"\n");
        check(&format!("[[model]]\nname = \"m\"\nfolder = \"/a\"\n{file}"), "no path inside its source");
    }
    let upper = DIGEST.to_uppercase();
    for digest in ["", "b179", &upper] {
        let file = format!("[[model.file]]\nname = \"m\"\nbytes = 1\nsha256 = \"{digest}\"\n");
        check(&format!("[[model]]\nname = \"m\"\nfolder = \"/a\"\n{file}"), "no SHA-256");
    }
}

#[test]
fn the_operators_own_models_are_kept_and_forgotten() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let home = Home::at(folder.path().to_owned());
    let file = KnownFile { name: "m.gguf".into(), from: None, bytes: 7, sha256: DIGEST.into() };
    let mine = KnownModel::in_folder("mine".into(), "/models".into(), vec![file.clone()]);
    Registry::keep(&home, mine.clone()).expect("it is right");
    let hub = HubRepository { repository: "owner/name".into(), revision: "main".into() };
    let theirs = KnownModel::in_hub("theirs".into(), hub.clone(), vec![file]);
    Registry::keep(&home, theirs).expect("it is right");
    assert!(Registry::keep(&home, mine.clone()).expect_err("it is there").to_string().contains("twice"));
    let registry = Registry::of(&home).expect("both were written");
    assert_eq!(registry.find("mine"), Ok(&mine));
    assert_eq!(registry.find("theirs").expect("it was kept").source(), Source::Hub(&hub));
    assert!(Registry::forget(&home, "mine").expect("it can be written"));
    assert!(!Registry::forget(&home, "mine").expect("it can be read"));
    assert!(Registry::of(&home).expect("one is left").find("theirs").is_ok());
}

fn adapter(name: &str, base: &str) -> KnownModel {
    let file = |name: &&str| KnownFile { name: (*name).into(), from: None, bytes: 7, sha256: DIGEST.into() };
    let files = ADAPTER_FILES.iter().map(file).collect();
    KnownModel::in_folder(name.into(), "/adapters".into(), files).adapting(base.into())
}

#[test]
fn an_adapter_changes_a_model_that_is_known_and_no_adapter() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let home = Home::at(folder.path().to_owned());
    let refused = |model: KnownModel, words: &str| {
        let error = Registry::keep(&home, model).expect_err("it has no base");
        assert!(error.to_string().contains(words), "{error}");
    };
    refused(
        adapter("tuned", "gpt"),
        "\"tuned\" changes the base \"gpt\", which is in no list: add that first, or name",
    );
    refused(adapter("tuned", "tuned"), "is its own base");
    Registry::keep(&home, adapter("tuned", "smollm2")).expect("its base is built in");
    refused(adapter("more", "tuned"), "changes \"tuned\", which is an adapter itself (of \"smollm2\")");
    let mut bare = adapter("bare", "smollm2");
    bare.files.pop();
    refused(bare, "is an adapter and has no file adapter_model.safetensors");
    let registry = Registry::of(&home).expect("it was kept");
    let tuned = registry.find("tuned").expect("it was kept");
    assert_eq!(registry.base_of(tuned), Some(registry.default_model()));
    assert_eq!(registry.base_of(registry.default_model()), None);
}

#[test]
fn a_base_stays_as_long_as_its_adapters() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let home = Home::at(folder.path().to_owned());
    let file = KnownFile { name: "m.gguf".into(), from: None, bytes: 7, sha256: DIGEST.into() };
    Registry::keep(&home, KnownModel::in_folder("mine".into(), "/models".into(), vec![file])).expect("it is right");
    for name in ["tuned", "other"] {
        Registry::keep(&home, adapter(name, "mine")).expect("its base is known");
    }
    let error = Registry::forget(&home, "mine").expect_err("it has adapters");
    assert_eq!(error.to_string(), "mine is the base of tuned, other: remove them first, with `remit models rm`");
    for name in ["tuned", "other", "mine"] {
        assert!(Registry::forget(&home, name).expect("nothing is made of it any more"), "{name}");
    }
}

#[test]
fn an_adapter_may_stand_before_its_base_and_in_no_circle() {
    let model = |name: &str, base: &str| {
        let file = |name: &&str| format!("[[model.file]]\nname = {name:?}\nbytes = 1\nsha256 = \"{DIGEST}\"\n");
        let files: String = ADAPTER_FILES.iter().map(file).collect();
        format!("[[model]]\nname = {name:?}\n{base}\nfolder = \"/a\"\n{files}")
    };
    let list = model("tuned", "base = \"mine\"") + &model("mine", "");
    Registry::built_in().add_list(&list, Path::new("models.toml")).expect("the base comes later");
    let circle = model("a", "base = \"b\"") + &model("b", "base = \"a\"");
    check(&circle, "\"a\" changes \"b\", which is an adapter itself (of \"a\")");
}
