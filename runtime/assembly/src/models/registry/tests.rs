//! Lists that are wrong, the operator's own models, and who adds them at once.

use super::{bases::ADAPTER_FILES, *};

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
    for (price, words) in [
        ("{ input = 1 }", "no price that can be charged: the price list has no price.cached_input"),
        ("{ input = 0, cached_input = 0, output = 1, embedding = 1 }", "gives price.input away"),
        ("{ free = true, output = 1 }", "free and priced"),
        ("{ inputs = 1 }", "unknown field `inputs`"),
        ("{ input = 0.5, cached_input = 0, output = 1, embedding = 1 }", "invalid type: floating point"),
    ] {
        check(&format!("[[model]]\nname = \"m\"\nfolder = \"/a\"\nprice = {price}\nFILE"), words);
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

#[test]
fn a_models_price_completes_the_price_list_and_is_written_down_again() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let home = Home::at(folder.path().to_owned());
    let file = format!("[[model.file]]\nname = \"m\"\nbytes = 1\nsha256 = \"{DIGEST}\"\n");
    let priced =
        |name: &str, price: &str| format!("[[model]]\nname = \"{name}\"\nfolder = \"/a\"\nprice = {price}\n{file}");
    let dear = "{ input = 1, cached_input = 0, output = 2_000_000, embedding = 3 }";
    let files = ADAPTER_FILES.map(|name| file.replace("\"m\"", &format!("{name:?}"))).concat();
    let adapter = |name: &str, rest: &str| format!("[[model]]\nname = \"{name}\"\nfolder = \"/a\"\n{rest}\n{files}");
    let tuned = adapter("tuned", "base = \"dear\"");
    let cheap = adapter("cheap", "base = \"dear\"\nprice = { free = true }");
    let list = [priced("dear", dear), priced("gratis", "{ free = true }"), tuned, cheap].concat();
    fs::write(home.model_list(), list).expect("it is writable");
    let file = KnownFile { name: "m.gguf".into(), from: None, bytes: 7, sha256: DIGEST.into() };
    Registry::keep(&home, KnownModel::in_folder("mine".into(), "/models".into(), vec![file])).expect("it is right");
    let registry = Registry::of(&home).expect("it is a list");
    let mut prices = PriceList::built_in();
    registry.complete(&mut prices);
    assert_eq!(prices.model("dear"), ModelPrices { input: 1, cached_input: 0, output: 2_000_000, embedding: 3 });
    assert_eq!(prices.model("gratis"), ModelPrices::FREE);
    assert_eq!((prices.model("tuned"), prices.model("cheap")), (prices.model("dear"), ModelPrices::FREE));
    assert_eq!(prices.model("mine"), PriceList::built_in().model("mine"));
}

#[test]
fn whoever_adds_a_name_that_another_adds_waits_and_is_told() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let home = Home::at(folder.path().to_owned());
    let file = KnownFile { name: "m.gguf".into(), from: None, bytes: 7, sha256: DIGEST.into() };
    let model = |name: &str| KnownModel::in_folder(name.into(), "/models".into(), vec![file.clone()]);
    let first = Registry::adding(&home, "m", &mut || panic!("nobody is there")).expect("it is free");
    let _other_name = Registry::adding(&home, "n", &mut || panic!("it is another name")).expect("it is free");
    let (waits, waiting) = std::sync::mpsc::channel();
    let second = std::thread::spawn({
        let home = home.clone();
        move || Registry::adding(&home, "m", &mut || waits.send(()).expect("the test listens")).map(drop)
    });
    waiting.recv().expect("the second one waits for the first");
    first.keep(model("m")).expect("it is right");
    let told = second.join().expect("it does not panic").expect_err("the name is taken now");
    assert!(told.to_string().contains("is there twice"), "{told}");
    drop(Registry::adding(&home, "o", &mut || ()).expect("it is free"));
    Registry::adding(&home, "o", &mut || panic!("the other gave up")).expect("it is free again");
    for name in ["../m", "", "M", ".adding"] {
        let error = Registry::adding(&home, name, &mut || ()).expect_err("it is no name");
        assert!(error.to_string().contains("is no name"), "{error}");
    }
}

#[test]
fn models_that_are_added_at_once_are_all_kept() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let home = Home::at(folder.path().to_owned());
    let file = KnownFile { name: "m.gguf".into(), from: None, bytes: 7, sha256: DIGEST.into() };
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (home, file) = (&home, file.clone());
            let model = KnownModel::in_folder(format!("m{number}"), "/models".into(), vec![file]);
            scope.spawn(move || Registry::keep(home, model).expect("it is right"));
        }
    });
    let registry = Registry::of(&home).expect("it is a list");
    assert!((0..8).all(|number| registry.find(&format!("m{number}")).is_ok()));
}

fn adapter(name: &str, base: &str) -> KnownModel {
    let file = |name: &&str| KnownFile { name: (*name).into(), from: None, bytes: 7, sha256: DIGEST.into() };
    let files = ADAPTER_FILES.iter().map(file).collect();
    KnownModel::in_folder(name.into(), "/adapters".into(), files).adapting(Some(base.into()))
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
