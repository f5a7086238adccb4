//! Embeds its messages with the model of the grant `embed`, and says of each how near it is to the first, as a cosine of two
//! digits a line.

use remit::prelude::*;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let model = Model::take("embed")?;
    let texts: Vec<_> = task.conversation.iter().map(|input| (&input.content).into()).collect();
    let vectors = model.embed(&texts)?;
    for vector in &vectors {
        let cosine: f32 = vector.iter().zip(&vectors[0]).map(|(a, b)| a * b).sum();
        emit_text(format!("{cosine:.2}\n"))?;
    }
    Ok(Outcome::complete())
}
