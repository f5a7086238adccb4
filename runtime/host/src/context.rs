//! `remit:kernel/context`: conversations whose window the kernel pages. Linked only where a grant of kind `model` was given.

use crate::{
    bindings::remit::kernel::{context, llm, types, value},
    budget::shortfall_to_wit,
    capability::denial_to_wit,
    guest::{Guest, gone, mismatch},
    llm::{completion_to_wit, params_from_wit, toolset_from_wit},
    row::{ContextRow, ModelRow, ValueRow},
    task::role_from_wit,
};
use remit_abi::{
    Answering, Appending, BlockEdit, BlockInfo, BlockMaking, ContextError, ContextId, ContextOptions, ContextReply,
    ContextRequest, ContextTurn, ContextUsage, InItsPlace, PageOrder, Place, Recall, Reply, Request, Role, SegmentInfo,
    ToolCall, TurnReport, Utterance, ValueId,
};
use wasmtime::{Result, component::Resource};

/// What who asks is told.
type Told<T> = Result<std::result::Result<T, context::ContextError>>;

impl Guest {
    fn call_context(&self, request: ContextRequest) -> Told<ContextReply> {
        told(self.call(&Request::Context(request))?)
    }

    async fn call_context_waiting(&mut self, request: ContextRequest) -> Told<ContextReply> {
        told(self.call_waiting(Request::Context(request)).await?)
    }

    fn context_id(&self, handle: &Resource<ContextRow>) -> Result<ContextId> {
        let ContextRow(context) = self.row(handle)?;
        Ok(context)
    }

    fn context_options(&self, options: context::Options) -> Result<Box<ContextOptions>> {
        let context::Options { window, output_reserve, order, in_place, recall_budget, store } = options;
        let store = store.map(|grant| Ok::<_, wasmtime::Error>(self.row(&grant)?.0)).transpose()?;
        let order = match order {
            context::PageOrder::LeastRecentlyUsed => PageOrder::LeastRecentlyUsed,
            context::PageOrder::Importance => PageOrder::Importance,
        };
        let in_place = match in_place {
            context::InItsPlace::Stub => InItsPlace::Stub,
            context::InItsPlace::Summary => InItsPlace::Summary,
        };
        Ok(Box::new(ContextOptions { window, output_reserve, order, in_place, recall_budget, store }))
    }

    fn utterance(&self, said: context::Utterance) -> Result<Utterance> {
        Ok(match said {
            context::Utterance::Text(content) => Utterance::Text(self.content(content)?),
            context::Utterance::Calls(context::Calling { content, calls }) => {
                let call = |llm::ToolCall { id, name, arguments }| ToolCall {
                    id: id.into(),
                    name: name.into(),
                    arguments: arguments.into(),
                };
                Utterance::Calls(self.content(content)?, calls.into_iter().map(call).collect())
            }
            context::Utterance::ToolResult(context::OutcomeOfCall { id, content }) => {
                Utterance::Result(id.into(), self.content(content)?)
            }
        })
    }

    fn block_edit(&self, edit: context::BlockEdit) -> Result<BlockEdit> {
        Ok(match edit {
            context::BlockEdit::Replace(text) => BlockEdit::Replace(self.content(text)?),
            context::BlockEdit::Append(text) => BlockEdit::Append(self.content(text)?),
            context::BlockEdit::ReplacePart((old, new)) => {
                BlockEdit::ReplacePart { old: self.content(old)?, new: self.content(new)? }
            }
        })
    }

    /// A request that is answered with a context.
    fn opened(
        &mut self,
        reply: std::result::Result<ContextReply, context::ContextError>,
    ) -> Told<Resource<ContextRow>> {
        match reply {
            Ok(ContextReply::Opened(context)) => self.push(ContextRow(context)).map(Ok),
            Ok(_) => Err(mismatch("context.open")),
            Err(error) => Ok(Err(error)),
        }
    }

    /// A request that is answered with a number of tokens.
    async fn counted(&mut self, request: ContextRequest) -> Told<u32> {
        match self.call_context_waiting(request).await? {
            Ok(ContextReply::Counted(tokens)) => Ok(Ok(tokens)),
            Ok(_) => Err(mismatch("context.edit-block")),
            Err(error) => Ok(Err(error)),
        }
    }

    /// A request that is answered with a value.
    fn context_value(&mut self, request: ContextRequest) -> Told<Resource<ValueRow>> {
        match self.call_context(request)? {
            Ok(ContextReply::Value(value)) => self.push(ValueRow(value)).map(Ok),
            Ok(_) => Err(mismatch("context.read")),
            Err(error) => Ok(Err(error)),
        }
    }

    /// A request that is answered with "done" alone.
    fn context_done(&self, request: ContextRequest) -> Told<()> {
        match self.call_context(request)? {
            Ok(ContextReply::Done) => Ok(Ok(())),
            Ok(_) => Err(mismatch("context")),
            Err(error) => Ok(Err(error)),
        }
    }

    fn answer_to_wit(&mut self, answering: Answering) -> Result<context::Answer> {
        let Answering { completion, segment, report } = answering;
        let completion = completion_to_wit(self, completion)?;
        Ok(context::Answer { completion, segment, report: report_to_wit(report) })
    }
}

impl context::Host for Guest {}

impl context::HostContext for Guest {
    async fn open(&mut self, model: Resource<ModelRow>, options: context::Options) -> Told<Resource<ContextRow>> {
        let (ModelRow(model), options) = (self.row(&model)?, self.context_options(options)?);
        let reply = self.call_context_waiting(ContextRequest::Open { model, options }).await?;
        self.opened(reply)
    }

    async fn restore(
        &mut self,
        model: Resource<ModelRow>,
        options: context::Options,
        snapshot: Vec<Resource<ValueRow>>,
    ) -> Told<Resource<ContextRow>> {
        let (ModelRow(model), options) = (self.row(&model)?, self.context_options(options)?);
        let pieces = snapshot.iter().map(|piece| Ok(self.row(piece)?.0)).collect::<Result<Vec<ValueId>>>()?;
        let request = ContextRequest::Restore { model, options, snapshot: pieces.into() };
        let reply = self.call_context_waiting(request).await?;
        self.opened(reply)
    }

    async fn append(&mut self, handle: Resource<ContextRow>, segment: context::Segment) -> Told<u64> {
        let context = self.context_id(&handle)?;
        let context::Segment { role, said, importance, depends_on } = segment;
        let (role, said) = (role_from_wit(role), self.utterance(said)?);
        let segment = Box::new(Appending { role, said, importance, depends_on });
        match self.call_context_waiting(ContextRequest::Append { context, segment }).await? {
            Ok(ContextReply::Appended { segment, .. }) => Ok(Ok(segment)),
            Ok(_) => Err(mismatch("context.append")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn make_block(
        &mut self,
        handle: Resource<ContextRow>,
        name: String,
        text: value::Content,
        tokens_max: u32,
    ) -> Told<u32> {
        let context = self.context_id(&handle)?;
        let block = Box::new(BlockMaking { name: name.into(), text: self.content(text)?, tokens_max });
        self.counted(ContextRequest::MakeBlock { context, block }).await
    }

    async fn edit_block(&mut self, handle: Resource<ContextRow>, name: String, edit: context::BlockEdit) -> Told<u32> {
        let context = self.context_id(&handle)?;
        let edit = Box::new(self.block_edit(edit)?);
        self.counted(ContextRequest::EditBlock { context, name: name.into(), edit }).await
    }

    fn remove_block(&mut self, handle: Resource<ContextRow>, name: String) -> Told<()> {
        let context = self.context_id(&handle)?;
        self.context_done(ContextRequest::RemoveBlock { context, name: name.into() })
    }

    fn blocks(&mut self, handle: Resource<ContextRow>) -> Told<Vec<context::Block>> {
        let context = self.context_id(&handle)?;
        let blocks = match self.call_context(ContextRequest::Blocks { context })? {
            Ok(ContextReply::Blocks(blocks)) => blocks,
            Ok(_) => return Err(mismatch("context.blocks")),
            Err(error) => return Ok(Err(error)),
        };
        let block = |BlockInfo { name, text, tokens, tokens_max }| {
            let text = self.push(ValueRow(text))?;
            Ok(context::Block { name: name.into(), text, tokens, tokens_max })
        };
        blocks.into_iter().map(block).collect::<Result<_>>().map(Ok)
    }

    fn pin(&mut self, handle: Resource<ContextRow>, segment: u64) -> Told<()> {
        let context = self.context_id(&handle)?;
        self.context_done(ContextRequest::Pin { context, segment })
    }

    fn unpin(&mut self, handle: Resource<ContextRow>, segment: u64) -> Told<()> {
        let context = self.context_id(&handle)?;
        self.context_done(ContextRequest::Unpin { context, segment })
    }

    fn set_importance(&mut self, handle: Resource<ContextRow>, segment: u64, importance: u8) -> Told<()> {
        let context = self.context_id(&handle)?;
        self.context_done(ContextRequest::SetImportance { context, segment, importance })
    }

    fn set_order(&mut self, handle: Resource<ContextRow>, segments: Vec<u64>) -> Told<()> {
        let context = self.context_id(&handle)?;
        self.context_done(ContextRequest::SetOrder { context, segments: segments.into() })
    }

    fn page_in(&mut self, handle: Resource<ContextRow>, segments: Vec<u64>) -> Told<()> {
        let context = self.context_id(&handle)?;
        self.context_done(ContextRequest::PageIn { context, segments: segments.into() })
    }

    fn get_usage(&mut self, handle: Resource<ContextRow>) -> Told<context::Usage> {
        let context = self.context_id(&handle)?;
        match self.call_context(ContextRequest::Usage { context })? {
            Ok(ContextReply::Usage(usage)) => Ok(Ok(usage_to_wit(*usage))),
            Ok(_) => Err(mismatch("context.get-usage")),
            Err(error) => Ok(Err(error)),
        }
    }

    fn segments(
        &mut self,
        handle: Resource<ContextRow>,
        after: Option<u64>,
        count: u32,
    ) -> Told<Vec<context::SegmentInfo>> {
        let context = self.context_id(&handle)?;
        match self.call_context(ContextRequest::Segments { context, after, count })? {
            Ok(ContextReply::Segments(segments)) => Ok(Ok(segments.into_iter().map(info_to_wit).collect())),
            Ok(_) => Err(mismatch("context.segments")),
            Err(error) => Ok(Err(error)),
        }
    }

    fn read(&mut self, handle: Resource<ContextRow>, segment: u64) -> Told<Resource<ValueRow>> {
        let context = self.context_id(&handle)?;
        self.context_value(ContextRequest::Read { context, segment })
    }

    fn fork(&mut self, handle: Resource<ContextRow>) -> Told<Resource<ContextRow>> {
        let context = self.context_id(&handle)?;
        let reply = self.call_context(ContextRequest::Fork { context })?;
        self.opened(reply)
    }

    fn snapshot(&mut self, handle: Resource<ContextRow>) -> Told<Resource<ValueRow>> {
        let context = self.context_id(&handle)?;
        self.context_value(ContextRequest::Snapshot { context })
    }

    async fn chat(
        &mut self,
        handle: Resource<ContextRow>,
        params: llm::Params,
        tools: Option<llm::Toolset>,
    ) -> Told<context::Answer> {
        let context = self.context_id(&handle)?;
        let tools = tools.map(toolset_from_wit).map(Box::new);
        let turn = Box::new(ContextTurn { params: params_from_wit(params), tools });
        match self.call_context_waiting(ContextRequest::Chat { context, turn }).await? {
            Ok(ContextReply::Answered(answering)) => self.answer_to_wit(*answering).map(Ok),
            Ok(_) => Err(mismatch("context.chat")),
            Err(error) => Ok(Err(error)),
        }
    }

    fn drop(&mut self, handle: Resource<ContextRow>) -> Result<()> {
        let ContextRow(context) = self.remove(handle)?;
        match self.call_context(ContextRequest::Drop { context })? {
            Ok(ContextReply::Done) => Ok(()),
            _ => Err(mismatch("context")),
        }
    }
}

fn told(reply: Reply) -> Told<ContextReply> {
    match reply {
        Reply::Context(Ok(reply)) => Ok(Ok(reply)),
        Reply::Context(Err(error)) => error_to_wit(error).map(Err),
        _ => Err(mismatch("context")),
    }
}

fn error_to_wit(error: ContextError) -> Result<context::ContextError> {
    Ok(match error {
        ContextError::Denied(denial) => context::ContextError::Denied(denial_to_wit(denial)),
        ContextError::Shortfall(shortfall) => context::ContextError::Shortfall(shortfall_to_wit(shortfall)),
        ContextError::NoSuchSegment { count, .. } => context::ContextError::NoSuchSegment(count),
        ContextError::Pinned { excess, blocks, unpin } => {
            context::ContextError::Pinned(context::PinnedDown { excess, blocks, unpin: unpin.into() })
        }
        ContextError::NoRoom(why) => context::ContextError::NoRoom(why.into()),
        ContextError::Invalid(why) => context::ContextError::Invalid(why.into()),
        ContextError::Empty => context::ContextError::Empty,
        ContextError::TooLarge { limit } => context::ContextError::TooLarge(limit),
        ContextError::TooMany { limit } => context::ContextError::TooMany(limit),
        ContextError::Unavailable(why) => context::ContextError::Unavailable(why.into()),
        ContextError::Dead => return Err(gone("a context, a model, a grant or a value")),
    })
}

fn role_to_wit(role: Role) -> types::Role {
    match role {
        Role::System => types::Role::System,
        Role::User => types::Role::User,
        Role::Assistant => types::Role::Assistant,
    }
}

fn info_to_wit(info: SegmentInfo) -> context::SegmentInfo {
    let SegmentInfo { segment, role, tokens, place, pinned, importance } = info;
    let place = match place {
        Place::Resident => context::Place::Resident,
        Place::Clipped => context::Place::Clipped,
        Place::Stub => context::Place::Stub,
        Place::Summary => context::Place::Summary,
        Place::Recalled => context::Place::Recalled,
    };
    context::SegmentInfo { id: segment, role: role_to_wit(role), tokens, place, pinned, importance }
}

fn usage_to_wit(usage: ContextUsage) -> context::Usage {
    let ContextUsage { window, blocks, resident, clipped, stubs, summaries, recalled, overhead, free, segments } =
        usage;
    context::Usage { window, blocks, resident, clipped, stubs, summaries, recalled, overhead, free, segments }
}

fn report_to_wit(report: TurnReport) -> context::TurnReport {
    let TurnReport { prompt_tokens, kept_tokens, paged_out, summarised, paid, recalled, recall, not_stored } = report;
    let recall = match recall {
        Recall::NotSought => context::Recall::NotSought,
        Recall::Sought => context::Recall::Sought,
        Recall::Unavailable => context::Recall::Unavailable,
    };
    let (paid, recalled) = (paid.micro(), recalled.into());
    context::TurnReport { prompt_tokens, kept_tokens, paged_out, summarised, paid, recalled, recall, not_stored }
}
