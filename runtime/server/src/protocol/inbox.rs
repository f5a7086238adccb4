//! What people are asked, told and have approved.

use super::{Marking, text};
use remit_abi::Pid;
use serde::{Deserialize, Serialize};

/// What people are to say to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Wanted {
    /// An answer in their own words.
    Words,
    /// One of some choices.
    Choice {
        /// In the asker's order.
        choices: Vec<String>,
    },
    /// Whether something may be done.
    Approval {
        /// Its name.
        action: String,
    },
}

/// A question that waits for people. `GET /v1/inbox`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// By which it is answered; no other one ever has it.
    pub number: u64,
    /// Who asks.
    #[serde(with = "text")]
    pub asker: Pid,
    /// Of which package.
    pub package: String,
    /// SHA-256 of its component, in hexadecimal.
    pub digest: String,
    /// Whom it asks.
    pub desk: String,
    /// What they are to say.
    pub wanted: Wanted,
    /// What they are shown.
    pub text: String,
    /// What went into it.
    pub label: Marking,
    /// When it was asked.
    pub asked_ns: u64,
    /// Until when it waits.
    pub expires_ns: u64,
}

/// Questions that wait for people, oldest first. `GET /v1/inbox`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbox {
    /// Each of them.
    pub questions: Vec<Question>,
}

/// What a person says to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// This, in their own words.
    Words(String),
    /// The choice at this place, counted from 0.
    Choice(u32),
    /// It may be done this time.
    ApproveOnce,
    /// It may be done whenever the same agent asks for the same.
    ApproveAlways,
    /// It may not be done; why.
    Reject(String),
}

/// An answer. `POST /v1/inbox/{number}/answer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// The name of the person who gives it. What is kept has the user of the socket's other end besides.
    #[serde(default)]
    pub by: Option<String>,
    /// What they say.
    pub response: Response,
}

/// An approval that stands. `GET /v1/approvals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// That of the question that it was the answer to.
    pub number: u64,
    /// In which tenant it holds.
    pub tenant: u32,
    /// The name of the package that asked.
    pub package: String,
    /// SHA-256 of its component, in hexadecimal: it holds for these bytes alone.
    pub digest: String,
    /// Whose it is.
    pub desk: String,
    /// What may be done.
    pub action: String,
    /// The highest label that it answers for.
    pub label: Marking,
    /// Who gave it.
    pub by: String,
    /// When.
    pub at_ns: u64,
}

/// Approvals that stand, oldest first. `GET /v1/approvals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// Each of them.
    pub approvals: Vec<Approval>,
}

/// Who withdraws an approval. `POST /v1/approvals/{number}/withdraw`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawRequest {
    /// The name of the person.
    #[serde(default)]
    pub by: Option<String>,
}

/// What people were told. `GET /v1/notices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Of all questions and notices of the host.
    pub number: u64,
    /// Who told it.
    #[serde(with = "text")]
    pub sender: Pid,
    /// Of which package.
    pub package: String,
    /// Who was told.
    pub desk: String,
    /// What.
    pub text: String,
    /// What went into it.
    pub label: Marking,
    /// When.
    pub at_ns: u64,
}

/// The latest notices, oldest first. `GET /v1/notices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    /// Each of them.
    pub notices: Vec<Notice>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_one_of_five_things_and_nothing_besides() {
        let check = |response: Response, text: serde_json::Value| {
            let request = AnswerRequest { by: Some("ann".to_owned()), response };
            let body = json!({ "by": "ann", "response": text });
            assert_eq!(serde_json::to_value(&request).expect("it is JSON"), body);
            assert_eq!(serde_json::from_value::<AnswerRequest>(body).expect("it is one"), request);
        };
        check(Response::Words("Blue.".to_owned()), json!({ "words": "Blue." }));
        check(Response::Choice(1), json!({ "choice": 1 }));
        check(Response::ApproveOnce, json!("approve-once"));
        check(Response::ApproveAlways, json!("approve-always"));
        check(Response::Reject("No.".to_owned()), json!({ "reject": "No." }));
        for wrong in [json!({}), json!({ "response": "approve" }), json!({ "response": "approve-once", "tenant": 1 })] {
            assert!(serde_json::from_value::<AnswerRequest>(wrong).is_err());
        }
    }
}
