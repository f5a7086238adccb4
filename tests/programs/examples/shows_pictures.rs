//! Shows its model a picture and a sound, which it emits the answers to; then asks in two texts of one message.

use remit::{Part, prelude::*};

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let request = task.request().ok_or_else(|| Failure::new("there is no input"))?;
    let model = Model::take("chat")?;
    let photo = Value::from_bytes(b"\x89PNG\r\n\x1a\n", "image/png")?;
    let song = Value::from_bytes(b"OggS", "audio/ogg")?;
    for part in [Part::Image(&photo), Part::Audio(&song), Part::Image(&song)] {
        let messages = [Message::user(request).with(part)];
        let answers = [
            model.count_tokens(&messages).map(drop),
            model.chat(&messages).send().map(drop),
            model.chat(&messages).stream().map(drop),
        ];
        for answer in answers {
            match answer {
                Ok(()) => emit_text("it was taken\n")?,
                Err(error) => emit_text(format!("{error}\n"))?,
            }
        }
    }
    let messages = [Message::system("Answer."), Message::user("Please: ").with(Part::Text(request.into()))];
    emit_text(&model.chat(&messages).max_tokens(3).send()?.content)?;
    Ok(Outcome::complete())
}
