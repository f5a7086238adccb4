use super::*;

/// A data folder whose list of routes is this.
struct Folder {
    home: Home,
    _folder: tempfile::TempDir,
}

impl Folder {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let this = Self { home: Home::at(folder.path().to_owned()), _folder: folder };
        this.write(text);
        this
    }

    fn write(&self, text: &str) {
        fs::write(self.home.route_list(), text).expect("the folder can be written");
    }

    fn book(&self) -> RouteBook {
        RouteBook::open(&self.home).expect("the files are well-formed")
    }

    /// The first models of the versions in effect.
    fn in_effect(&self) -> Vec<(Arm, u32, String)> {
        let routes = self.book().routes().expect("they can be used");
        let arms = routes.deployed["assist"].arms();
        arms.map(|(arm, version)| (arm, version.number, version.route.default[0].to_string())).collect()
    }
}

/// Two names of the built-in list.
fn models() -> (String, String) {
    let registry = Registry::built_in();
    let mut names = registry.iter().map(|model| model.name.clone());
    (names.next().expect("there is one"), names.next().expect("there are two"))
}

fn list(model: &str) -> String {
    format!("[route.assist]\ndefault = [\"{model}\"]\n")
}

#[test]
fn an_edit_is_in_effect_when_somebody_says_so_and_goes_back_in_one_step() {
    let (one, two) = models();
    let folder = Folder::new(&list(&one));
    assert_eq!(folder.in_effect(), [(Arm::Stable, 1, one.clone())]);
    folder.write(&list(&two));
    assert_eq!(folder.in_effect(), [(Arm::Stable, 1, one.clone())]);
    assert!(folder.book().list()[0].has_changed);
    RouteBook::set_canary(&folder.home, "assist", 100, Subject::Process).expect("it is new");
    assert_eq!(folder.in_effect(), [(Arm::Stable, 1, one.clone()), (Arm::Candidate, 2, two.clone())]);
    assert!(!folder.book().list()[0].has_changed);
    let promoted = RouteBook::promote(&folder.home, "assist").expect("it is tried");
    assert_eq!(promoted, Change::Promoted { version: 2, instead_of: 1 });
    assert_eq!(folder.in_effect(), [(Arm::Stable, 2, two.clone())]);
    RouteBook::rollback(&folder.home, "assist").expect("there was one before");
    assert_eq!(folder.in_effect(), [(Arm::Stable, 1, one)]);
    assert_eq!(folder.book().numbers("assist").expect("it is there"), [1, 2]);
    let text = folder.book().text("assist", 2).expect("it is kept").to_owned();
    assert!(text.contains(&two), "{text}");
}

#[test]
fn what_is_wrong_is_told_with_its_file() {
    let check = |text: &str, state: &str, expect: &str| {
        let folder = Folder::new(text);
        fs::write(folder.home.route_state(), state).expect("the folder can be written");
        let error = RouteBook::open(&folder.home).expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}");
    };
    check("[route.assist]\ndefault = [\"no-such\"]", "", "routes.toml, line 2: there is no model \"no-such\"");
    check("", "x = 1", "routes.state.toml is not what this program wrote there");
    let (one, _) = models();
    let folder = Folder::new(&list(&one));
    let error = RouteBook::rollback(&folder.home, "other").expect_err("there is none").to_string();
    assert!(error.starts_with("there is no route \"other\": known are assist"), "{error}");
    let error = RouteBook::rollback(&folder.home, "assist").expect_err("there is nothing before").to_string();
    assert!(error.starts_with("assist: no version is tried"), "{error}");
}

#[test]
fn a_version_whose_model_is_gone_does_not_come_back() {
    let (one, _) = models();
    let folder = Folder::new(&list(&one));
    folder.book();
    let path = folder.home.route_state();
    let state = fs::read_to_string(&path).expect("it was written");
    let gone = state.replace(&one, "gone").replace("stable = 1", "stable = 2").replace("newest = 1", "newest = 2");
    let gone = gone.replace("before = []", "before = [1]");
    let text = list(&one).replace('\n', "\\n").replace('"', "\\\"");
    fs::write(&path, format!("{gone}\n[[route.assist.version]]\nnumber = 2\ntext = \"{text}\"\n")).expect("it can be");
    let error = RouteBook::rollback(&folder.home, "assist").expect_err("its model is gone").to_string();
    assert!(
        error.contains("version 1 of the route assist cannot be used any more: there is no model \"gone\""),
        "{error}"
    );
    assert_eq!(folder.in_effect(), [(Arm::Stable, 2, one)], "nothing is changed");
}

#[test]
fn a_name_that_is_no_more_in_the_list_is_in_effect_no_more_and_keeps_its_versions() {
    let (one, two) = models();
    let folder = Folder::new(&list(&one));
    folder.book();
    folder.write("");
    assert!(folder.book().routes().expect("there is none").deployed.is_empty());
    folder.write(&list(&two));
    assert_eq!(folder.in_effect(), [(Arm::Stable, 1, one)]);
}
