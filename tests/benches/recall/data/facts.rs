//! Facts, and questions that have no word with meaning in common with them: who finds the fact knows what both mean (Modarressi and others
//! 2025, "NoLiMa: Long-Context Evaluation Beyond Literal Matching").
//!
//! A fact is a person of a profession, a relation, and a value: "The physician Ida Veltman lives in Bergen." Its question names the profession
//! by another noun or by what people of it do, and asks for the relation in other words: "In which town does the doctor reside?" Professions
//! and relations are written by hand, names and values are drawn. Each fact comes with [`NEAR_MISSES`] sentences that are like it: half of them
//! say the same of somebody of another profession, half something else of the same person.

use super::{random::Random, words};

/// How many like each fact.
pub(crate) const NEAR_MISSES: usize = 20;

/// A profession that is asked for: in facts, and in questions.
struct Profession {
    said: &'static str,
    asked: &'static str,
}

const fn profession(said: &'static str, asked: &'static str) -> Profession {
    Profession { said, asked }
}

const PROFESSIONS: [Profession; 20] = [
    profession("physician", "the doctor"),
    profession("attorney", "the lawyer"),
    profession("schoolteacher", "the one who gives lessons to pupils"),
    profession("barber", "the hairdresser"),
    profession("baker", "the man who sells bread"),
    profession("pilot", "the man who flies aeroplanes"),
    profession("plumber", "the man who repairs leaking pipes"),
    profession("veterinarian", "the one who treats sick animals"),
    profession("photographer", "the one who takes pictures with a camera"),
    profession("librarian", "the one who lends out books"),
    profession("tailor", "the one who sews suits"),
    profession("firefighter", "the one who puts out blazes"),
    profession("farmer", "the one who grows crops"),
    profession("butcher", "the one who sells meat"),
    profession("janitor", "the caretaker of the building"),
    profession("florist", "the one who sells bouquets"),
    profession("optician", "the one who sells spectacles"),
    profession("priest", "the clergyman"),
    profession("journalist", "the news reporter"),
    profession("fisherman", "the man who catches trout"),
];

/// Professions that nobody asks for, and none of which is another word for one that somebody does.
const OTHERS: [&str; 30] = [
    "electrician",
    "carpenter",
    "judge",
    "waiter",
    "astronomer",
    "blacksmith",
    "translator",
    "dancer",
    "geologist",
    "watchmaker",
    "potter",
    "accountant",
    "sculptor",
    "bricklayer",
    "chemist",
    "surveyor",
    "goldsmith",
    "cashier",
    "courier",
    "programmer",
    "historian",
    "jockey",
    "glazier",
    "roofer",
    "welder",
    "miner",
    "lifeguard",
    "sailor",
    "locksmith",
    "conductor",
];

/// What is said of somebody, with `{}` for the value, and what is asked, with `{}` for whom.
struct Relation {
    said: &'static str,
    asked: &'static str,
    values: &'static [&'static str],
}

const CITIES: &[&str] = &[
    "Bergen", "Lisbon", "Krakow", "Turin", "Ghent", "Porto", "Leipzig", "Galway", "Tartu", "Split", "Malaga", "Basel",
];
const DRINKS: &[&str] =
    &["peppermint tea", "buttermilk", "ginger ale", "black coffee", "tomato juice", "lemonade", "oat milk", "cider"];
const PETS: &[&str] = &[
    "a terrier called Biscuit",
    "a poodle called Pepper",
    "a beagle called Moss",
    "a tomcat called Juniper",
    "a spaniel called Domino",
];
const MONTHS: &[&str] =
    &["January", "February", "March", "April", "June", "July", "August", "September", "October", "November"];
const CARS: &[&str] =
    &["a green Volvo", "a white Fiat", "a blue Renault", "a silver Toyota", "a yellow Skoda", "a black Mazda"];
const AMOUNTS: &[&str] = &["3,100 euros", "2,450 euros", "4,020 euros", "2,980 euros", "3,760 euros", "5,300 euros"];
const GIVEN: &[&str] = &[
    "Ida", "Tomas", "Nora", "Emil", "Clara", "Hugo", "Marta", "Oskar", "Lena", "Piotr", "Greta", "Anton", "Selma",
    "Ruben", "Paula", "Viktor", "Elsa", "Milan", "Irene", "Felix", "Alma", "Jonas", "Vera", "Casper", "Edith", "Leo",
    "Agnes", "Karel", "Rosa", "Simon",
];
const FAMILY: &[&str] = &[
    "Veltman",
    "Hale",
    "Brandt",
    "Kowal",
    "Lindgren",
    "Moretti",
    "Okafor",
    "Petrov",
    "Quist",
    "Romero",
    "Sandoval",
    "Thorne",
    "Ulrich",
    "Vance",
    "Whitlock",
    "Yilmaz",
    "Zeman",
    "Abbott",
    "Castellan",
    "Dvorak",
    "Eklund",
    "Faraday",
    "Grimaldi",
    "Hartog",
    "Ivanov",
    "Jansen",
    "Keller",
    "Larsen",
    "Novak",
    "Osborne",
];
const INSTRUMENTS: &[&str] =
    &["the cello", "the trombone", "the accordion", "the oboe", "the harp", "the clarinet", "the banjo"];
const ALLERGENS: &[&str] = &["peanuts", "shrimps", "strawberries", "celery", "walnuts", "mussels", "sesame"];
const TIMES: &[&str] = &[
    "half past four",
    "a quarter to five",
    "ten past six",
    "twenty to seven",
    "a quarter past eight",
    "half past nine",
];

const RELATIONS: [Relation; 10] = [
    Relation { said: "lives in {}", asked: "In which town does {} reside?", values: CITIES },
    Relation { said: "always drinks {}", asked: "What is the favourite beverage of {}?", values: DRINKS },
    Relation { said: "has {}", asked: "What is the name of the pet of {}?", values: PETS },
    Relation { said: "was born in {}", asked: "When is the birthday of {}?", values: MONTHS },
    Relation { said: "drives {}", asked: "What kind of car belongs to {}?", values: CARS },
    Relation { said: "earns {} a month", asked: "How high is the salary of {}?", values: AMOUNTS },
    Relation { said: "is married to {}", asked: "What is the name of the spouse of {}?", values: GIVEN },
    Relation { said: "plays {}", asked: "Which musical instrument did {} learn?", values: INSTRUMENTS },
    Relation { said: "gets a rash from {}", asked: "Which food is {} allergic to?", values: ALLERGENS },
    Relation { said: "gets up at {}", asked: "How early does {} wake?", values: TIMES },
];

/// What else is said of people, with `{}` for something from [`MATTERS`]. Nobody asks for it.
const EVENTS: [&str; 12] = [
    "complained about {}",
    "wrote a letter about {}",
    "laughed at {}",
    "told the neighbours about {}",
    "lost a bet over {}",
    "dreamt of {}",
    "gave a speech on {}",
    "quarrelled with a cousin over {}",
    "apologised for {}",
    "painted a sign about {}",
    "joked about {}",
    "sang a song about {}",
];
const MATTERS: [&str; 20] = [
    "the broken lift",
    "the winter market",
    "the new bridge",
    "the missing umbrella",
    "the parking fees",
    "the choir",
    "the old cinema",
    "the late bus",
    "the flooded cellar",
    "the chess club",
    "the town fair",
    "the loose roof tiles",
    "the noisy scooter",
    "the rose garden",
    "the stolen bicycle",
    "the harbour lights",
    "the bowling night",
    "the lottery",
    "the crooked fence",
    "the summer storm",
];

/// Something that is said, and asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    /// As it is said.
    pub(crate) said: String,
    /// As it is asked for.
    pub(crate) asked: String,
    /// What is said besides that is like it.
    pub(crate) near_misses: Vec<String>,
}

/// Every profession with every relation: as many facts as these multiply to, in an order and with names, values and near-misses of the seed.
/// No sentence comes twice.
pub(crate) fn all(seed: u64) -> Vec<Fact> {
    let mut random = Random::new(seed);
    let mut people = People::new(&mut random);
    let mut facts = Vec::with_capacity(PROFESSIONS.len() * RELATIONS.len());
    for profession in &PROFESSIONS {
        let name = people.next();
        let mut events = events(&mut random);
        for relation in &RELATIONS {
            let of_others = (0..NEAR_MISSES / 2).map(|_| {
                let (other, name) = (random.of(&OTHERS), people.next());
                sentence(other, &name, &relation.said.replace("{}", random.of(relation.values)))
            });
            let mut near_misses: Vec<_> = of_others.collect();
            let of_same = events.by_ref().take(NEAR_MISSES / 2);
            near_misses.extend(of_same.map(|event| sentence(profession.said, &name, &event)));
            facts.push(Fact {
                said: sentence(profession.said, &name, &relation.said.replace("{}", random.of(relation.values))),
                asked: relation.asked.replace("{}", profession.asked),
                near_misses,
            });
        }
    }
    random.shuffle(&mut facts);
    facts
}

fn sentence(profession: &str, name: &str, predicate: &str) -> String {
    format!("The {profession} {name} {predicate}.")
}

/// Names, each once.
struct People(std::vec::IntoIter<String>);

impl People {
    fn new(random: &mut Random) -> Self {
        // A second initial makes as many as are needed.
        let initials = ('A'..='Z').step_by(4);
        let of_initial = |initial: char| {
            GIVEN.iter().flat_map(move |given| FAMILY.iter().map(move |family| format!("{given} {initial}. {family}")))
        };
        let mut names: Vec<_> = initials.flat_map(of_initial).collect();
        random.shuffle(&mut names);
        Self(names.into_iter())
    }

    fn next(&mut self) -> String {
        self.0.next().expect("there are more names than facts and near-misses")
    }
}

/// What somebody did, each once.
fn events(random: &mut Random) -> std::vec::IntoIter<String> {
    let mut events: Vec<_> =
        EVENTS.iter().flat_map(|event| MATTERS.iter().map(move |matter| event.replace("{}", matter))).collect();
    random.shuffle(&mut events);
    events.into_iter()
}

/// The first fact that has a word with meaning in common with its question, and that word.
pub(crate) fn first_leak(facts: &[Fact]) -> Option<(&Fact, String)> {
    facts.iter().find_map(|fact| Some((fact, words::shared(&fact.said, &fact.asked).pop()?)))
}
