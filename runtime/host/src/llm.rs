//! `remit:kernel/llm`: inference. Linked only where a grant of kind `model` was given.

use crate::{
    bindings::remit::kernel::{llm, value},
    budget::shortfall_to_wit,
    capability::denial_to_wit,
    guest::{Guest, dead, mismatch},
    row::{GenerationRow, GrantRow, ModelRow, PollableRow, ValueRow},
    task::role_from_wit,
};
use remit_abi::{
    Completion, Conversation, Delta, FinishReason, Generate, LlmError, LlmReply, LlmRequest, Media, Message, ModelInfo,
    OutputFormat, Params, Part, Penalties, Prompt, Reply, Request, Sampling, ScoredToken, Summary, Tool, ToolCall,
    ToolChoice, ToolResult, Toolset, WaitId,
};
use wasmtime::{Result, component::Resource};

/// What the guest is told.
type Told<T> = Result<std::result::Result<T, llm::LlmError>>;

impl Guest {
    fn call_llm(&self, request: LlmRequest) -> Told<LlmReply> {
        told(self.call(&Request::Llm(request))?)
    }

    async fn call_llm_waiting(&mut self, request: LlmRequest) -> Told<LlmReply> {
        told(self.call_waiting(Request::Llm(request)).await?)
    }

    fn conversation(&self, conversation: llm::Conversation) -> Result<Prompt> {
        let message = |message: llm::Message| {
            let content = message.content.into_iter().map(|part| self.part(part)).collect::<Result<_>>()?;
            Ok(Message { role: role_from_wit(message.role), content })
        };
        let llm::Conversation { messages, tools } = conversation;
        let messages = messages.into_iter().map(message).collect::<Result<_>>()?;
        Ok(Prompt::Chat(Conversation { messages, tools: tools.map(toolset_from_wit).map(Box::new) }))
    }

    fn part(&self, part: llm::Part) -> Result<Part> {
        Ok(match part {
            llm::Part::Text(content) => Part::Text(self.content(content)?),
            llm::Part::Image(handle) => Part::Media(Media::Image, self.row(&handle)?.0),
            llm::Part::Audio(handle) => Part::Media(Media::Audio, self.row(&handle)?.0),
            llm::Part::ToolCall(llm::ToolCall { id, name, arguments }) => {
                Part::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
            }
            llm::Part::ToolResult(llm::ToolResult { id, content }) => {
                Part::ToolResult(ToolResult { id: id.into(), content: self.content(content)? })
            }
        })
    }

    fn generate(&self, handle: &Resource<ModelRow>, prompt: Prompt, params: llm::Params) -> Result<Box<Generate>> {
        let ModelRow(model) = self.row(handle)?;
        Ok(Box::new(Generate { model, prompt, params: params_from_wit(params) }))
    }

    async fn complete_all(&mut self, generate: Box<Generate>) -> Told<llm::Completion> {
        match self.call_llm_waiting(LlmRequest::Chat(generate)).await? {
            Ok(LlmReply::Completed(completion)) => completion_to_wit(self, completion).map(Ok),
            Ok(_) => Err(mismatch("model.chat")),
            Err(error) => Ok(Err(error)),
        }
    }

    /// A request that is answered with "done" alone.
    fn settle(&self, request: LlmRequest) -> Result<()> {
        match self.call_llm(request)? {
            Ok(LlmReply::Done) => Ok(()),
            _ => Err(mismatch("llm")),
        }
    }
}

impl llm::Host for Guest {}

impl llm::HostModel for Guest {
    fn open(&mut self, grant: Resource<GrantRow>) -> Told<Resource<ModelRow>> {
        let GrantRow(grant) = self.row(&grant)?;
        match self.call_llm(LlmRequest::Open { grant })? {
            Ok(LlmReply::Opened(model)) => self.push(ModelRow(model)).map(Ok),
            Ok(_) => Err(mismatch("model.open")),
            Err(error) => Ok(Err(error)),
        }
    }

    fn get_info(&mut self, handle: Resource<ModelRow>) -> Told<llm::ModelInfo> {
        let ModelRow(model) = self.row(&handle)?;
        match self.call_llm(LlmRequest::Info { model })? {
            Ok(LlmReply::Info(info)) => Ok(Ok(info_to_wit(info))),
            Ok(_) => Err(mismatch("model.get-info")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn count_tokens(&mut self, handle: Resource<ModelRow>, prompt: llm::Prompt) -> Told<u32> {
        let ModelRow(model) = self.row(&handle)?;
        let prompt = Box::new(match prompt {
            llm::Prompt::Chat(conversation) => self.conversation(conversation)?,
            llm::Prompt::Text(text) => Prompt::Text(self.content(text)?),
        });
        match self.call_llm_waiting(LlmRequest::CountTokens { model, prompt }).await? {
            Ok(LlmReply::Counted(tokens)) => Ok(Ok(tokens)),
            Ok(_) => Err(mismatch("model.count-tokens")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn chat(
        &mut self,
        handle: Resource<ModelRow>,
        conversation: llm::Conversation,
        params: llm::Params,
    ) -> Told<llm::Completion> {
        let prompt = self.conversation(conversation)?;
        let generate = self.generate(&handle, prompt, params)?;
        self.complete_all(generate).await
    }

    async fn embed(&mut self, handle: Resource<ModelRow>, texts: Vec<value::Content>) -> Told<Vec<Vec<f32>>> {
        let ModelRow(model) = self.row(&handle)?;
        let texts = texts.into_iter().map(|text| self.content(text)).collect::<Result<_>>()?;
        match self.call_llm_waiting(LlmRequest::Embed { model, texts }).await? {
            Ok(LlmReply::Embedded(embeddings)) => Ok(Ok(embeddings.vectors().collect())),
            Ok(_) => Err(mismatch("model.embed")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn chat_stream(
        &mut self,
        handle: Resource<ModelRow>,
        conversation: llm::Conversation,
        params: llm::Params,
    ) -> Told<Resource<GenerationRow>> {
        let prompt = self.conversation(conversation)?;
        let generate = self.generate(&handle, prompt, params)?;
        match self.call_llm_waiting(LlmRequest::Start(generate)).await? {
            Ok(LlmReply::Started(generation)) => self.push(GenerationRow(generation)).map(Ok),
            Ok(_) => Err(mismatch("model.chat-stream")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn complete(
        &mut self,
        handle: Resource<ModelRow>,
        text: value::Content,
        params: llm::Params,
    ) -> Told<llm::Completion> {
        let prompt = Prompt::Text(self.content(text)?);
        let generate = self.generate(&handle, prompt, params)?;
        self.complete_all(generate).await
    }

    fn drop(&mut self, handle: Resource<ModelRow>) -> Result<()> {
        let ModelRow(model) = self.remove(handle)?;
        self.settle(LlmRequest::DropModel { model })
    }
}

impl llm::HostGeneration for Guest {
    async fn next(&mut self, handle: Resource<GenerationRow>) -> Told<llm::Delta> {
        let GenerationRow(generation) = self.row(&handle)?;
        match self.call_llm_waiting(LlmRequest::Next { generation }).await? {
            Ok(LlmReply::Next(delta)) => Ok(Ok(delta_to_wit(delta))),
            Ok(_) => Err(mismatch("generation.next")),
            Err(error) => Ok(Err(error)),
        }
    }

    fn cancel(&mut self, handle: Resource<GenerationRow>) -> Result<()> {
        let GenerationRow(generation) = self.row(&handle)?;
        self.settle(LlmRequest::Cancel { generation })
    }

    fn subscribe(&mut self, handle: Resource<GenerationRow>) -> Result<Resource<PollableRow>> {
        let GenerationRow(generation) = self.row(&handle)?;
        self.push_child(PollableRow(WaitId::Generation(generation)), &handle)
    }

    fn drop(&mut self, handle: Resource<GenerationRow>) -> Result<()> {
        let GenerationRow(generation) = self.remove(handle)?;
        self.settle(LlmRequest::DropGeneration { generation })
    }
}

fn told(reply: Reply) -> Told<LlmReply> {
    match reply {
        Reply::Llm(Ok(reply)) => Ok(Ok(reply)),
        Reply::Llm(Err(error)) => error_to_wit(error).map(Err),
        _ => Err(mismatch("llm")),
    }
}

fn error_to_wit(error: LlmError) -> Result<llm::LlmError> {
    Ok(match error {
        LlmError::Denied(denial) => llm::LlmError::Denied(denial_to_wit(denial)),
        LlmError::Shortfall(shortfall) => llm::LlmError::Shortfall(shortfall_to_wit(shortfall)),
        LlmError::TooLong { tokens, capacity } => llm::LlmError::TooLong(llm::Overflow { tokens, capacity }),
        LlmError::EmptyPrompt => llm::LlmError::EmptyPrompt,
        LlmError::Invalid(reason) => llm::LlmError::Invalid(reason.into()),
        LlmError::NotSupported { model, part } => llm::LlmError::NotSupported(llm::Unsupported {
            model: model.into(),
            part: match part {
                Media::Image => llm::Media::Image,
                Media::Audio => llm::Media::Audio,
            },
        }),
        LlmError::TooMany { limit } => llm::LlmError::TooMany(limit),
        LlmError::Unavailable(reason) => llm::LlmError::Unavailable(reason.into()),
        LlmError::Dead => return Err(dead("model, generation or value")),
    })
}

/// A completion, its values in rows of the guest's.
pub(crate) fn completion_to_wit(guest: &mut Guest, completion: Completion) -> Result<llm::Completion> {
    let Completion { content, calls, logprobs, summary } = completion;
    let content = guest.push(ValueRow(content))?;
    let calls = calls.map(|calls| guest.push(ValueRow(calls))).transpose()?;
    let logprobs = logprobs.map(|logprobs| guest.push(ValueRow(logprobs))).transpose()?;
    Ok(llm::Completion { content, calls, logprobs, summary: summary_to_wit(&summary) })
}

fn info_to_wit(info: ModelInfo) -> llm::ModelInfo {
    llm::ModelInfo {
        name: info.name.into(),
        family: info.family.into(),
        context_length: info.context_length,
        digest: info.digest.into(),
    }
}

pub(crate) fn params_from_wit(params: llm::Params) -> Params {
    let llm::Params { max_tokens, sampling, penalties, logit_bias, stop, stop_tokens, logprobs, speculation, format } =
        params;
    Params {
        max_tokens,
        sampling: Sampling {
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            typical_p: sampling.typical_p,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            seed: sampling.seed,
        },
        penalties: Penalties {
            repetition: penalties.repetition,
            frequency: penalties.frequency,
            presence: penalties.presence,
            window: penalties.window,
        },
        logit_bias,
        stop: stop.into_iter().map(Into::into).collect(),
        stop_tokens,
        logprobs,
        speculation,
        format: format_from_wit(format),
    }
}

fn format_from_wit(format: llm::OutputFormat) -> OutputFormat {
    match format {
        llm::OutputFormat::Any => OutputFormat::Any,
        llm::OutputFormat::JsonSchema(schema) => OutputFormat::JsonSchema(schema.into()),
        llm::OutputFormat::Regex(expression) => OutputFormat::Regex(expression.into()),
        llm::OutputFormat::Choice(choices) => OutputFormat::Choice(choices.into_iter().map(Into::into).collect()),
        llm::OutputFormat::Grammar(grammar) => OutputFormat::Grammar(grammar.into()),
    }
}

pub(crate) fn toolset_from_wit(toolset: llm::Toolset) -> Toolset {
    let tool = |llm::Tool { name, description, parameters }| Tool {
        name: name.into(),
        description: description.into(),
        parameters: parameters.into(),
    };
    let choice = match toolset.choice {
        llm::ToolChoice::Auto => ToolChoice::Auto,
        llm::ToolChoice::Required => ToolChoice::Required,
        llm::ToolChoice::Named(name) => ToolChoice::Named(name.into()),
        llm::ToolChoice::None => ToolChoice::None,
    };
    Toolset { tools: toolset.tools.into_iter().map(tool).collect(), choice }
}

fn delta_to_wit(delta: Delta) -> llm::Delta {
    match delta {
        Delta::Text(text) => llm::Delta::Text(text.into()),
        Delta::Token(drawn) => llm::Delta::Token(llm::DrawnToken {
            token: scored_to_wit(drawn.token),
            likeliest: drawn.likeliest.into_iter().map(scored_to_wit).collect(),
        }),
        Delta::ToolCall(call) => llm::Delta::ToolCall(llm::ToolCall {
            id: call.id.into(),
            name: call.name.into(),
            arguments: call.arguments.into(),
        }),
        Delta::End(summary) => llm::Delta::End(summary_to_wit(&summary)),
    }
}

fn scored_to_wit(token: ScoredToken) -> llm::ScoredToken {
    llm::ScoredToken { id: token.id, logprob: token.logprob, bytes: token.bytes.into() }
}

fn summary_to_wit(summary: &Summary) -> llm::Summary {
    llm::Summary {
        finish: match summary.finish {
            FinishReason::Stop => llm::FinishReason::Stop,
            FinishReason::Length => llm::FinishReason::Length,
            FinishReason::Budget => llm::FinishReason::Budget,
            FinishReason::Cancelled => llm::FinishReason::Cancelled,
            FinishReason::ToolCalls => llm::FinishReason::ToolCalls,
        },
        usage: llm::Usage { input: summary.usage.input, cached: summary.usage.cached, output: summary.usage.output },
        paid: summary.paid.micro(),
    }
}
