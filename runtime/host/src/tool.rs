//! `remit:kernel/tool`: tools that act outside the node. Linked only where a grant of kind `tool` was given.

use crate::{
    bindings::remit::kernel::{tool, value},
    capability::denial_to_wit,
    guest::{Guest, gone, mismatch},
    row::{GrantRow, PollableRow, ToolCallRow, ValueRow},
};
use remit_abi::{Reply, Request, Tool, ToolError, ToolReply, ToolRequest, ToolUse, WaitId};
use wasmtime::{Result, component::Resource};

/// What the kernel answered.
type Replied = Result<std::result::Result<ToolReply, ToolError>>;

/// What who calls is told.
type Called<T> = Result<std::result::Result<T, tool::CallError>>;

impl Guest {
    fn call_tool(&self, request: ToolRequest) -> Replied {
        replied(self.call(&Request::Tool(request))?)
    }
}

impl tool::Host for Guest {
    fn describe(&mut self, grant: Resource<GrantRow>) -> Called<Vec<tool::Description>> {
        let GrantRow(grant) = self.row(&grant)?;
        match self.call_tool(ToolRequest::Describe { grant })? {
            Ok(ToolReply::Described(described)) => Ok(Ok(described.into_iter().map(description_to_wit).collect())),
            Ok(_) => Err(mismatch("tool.describe")),
            Err(error) => call_error_to_wit(error).map(Err),
        }
    }

    fn call(&mut self, grant: Resource<GrantRow>, arguments: value::Content) -> Called<Resource<ToolCallRow>> {
        let GrantRow(grant) = self.row(&grant)?;
        let arguments = self.content(arguments)?;
        match self.call_tool(ToolRequest::Call(Box::new(ToolUse { grant, arguments })))? {
            Ok(ToolReply::Called(call)) => self.push(ToolCallRow(call)).map(Ok),
            Ok(_) => Err(mismatch("tool.call")),
            Err(error) => call_error_to_wit(error).map(Err),
        }
    }
}

impl tool::HostPendingResult for Guest {
    async fn get(
        &mut self,
        handle: Resource<ToolCallRow>,
    ) -> Result<std::result::Result<Resource<ValueRow>, tool::ResultError>> {
        let ToolCallRow(call) = self.row(&handle)?;
        let reply = self.call_waiting(Request::Tool(ToolRequest::Collect { call })).await?;
        match replied(reply)? {
            Ok(ToolReply::Returned(said)) => self.push(ValueRow(said)).map(Ok),
            Ok(ToolReply::Failed(said)) => Ok(Err(tool::ResultError::Failed(self.push(ValueRow(said))?))),
            Ok(_) => Err(mismatch("pending-result.get")),
            Err(error) => result_error_to_wit(error).map(Err),
        }
    }

    fn subscribe(&mut self, handle: Resource<ToolCallRow>) -> Result<Resource<PollableRow>> {
        let ToolCallRow(call) = self.row(&handle)?;
        self.push_child(PollableRow(WaitId::ToolCall(call)), &handle)
    }

    fn drop(&mut self, handle: Resource<ToolCallRow>) -> Result<()> {
        let ToolCallRow(call) = self.remove(handle)?;
        match self.call_tool(ToolRequest::Drop { call })? {
            Ok(ToolReply::Done) | Err(ToolError::Dead) => Ok(()),
            _ => Err(mismatch("pending-result.drop")),
        }
    }
}

fn description_to_wit(tool: Tool) -> tool::Description {
    let Tool { name, description, parameters } = tool;
    tool::Description { name: name.into(), description: description.into(), parameters: parameters.into() }
}

fn replied(reply: Reply) -> Replied {
    match reply {
        Reply::Tool(reply) => Ok(reply),
        _ => Err(mismatch("tool")),
    }
}

fn call_error_to_wit(error: ToolError) -> Result<tool::CallError> {
    Ok(match error {
        ToolError::Denied(denial) => tool::CallError::Denied(denial_to_wit(denial)),
        ToolError::NoSuchTool(name) => tool::CallError::NoSuchTool(name.into()),
        ToolError::TooLarge { limit } => tool::CallError::TooLarge(limit),
        ToolError::TooMany { limit } => tool::CallError::TooMany(limit),
        ToolError::Invalid(reason) => tool::CallError::Invalid(reason.into()),
        ToolError::Dead => return Err(gone("a grant or a value")),
        ToolError::TimedOut
        | ToolError::Unavailable(_)
        | ToolError::Uncertain(_)
        | ToolError::Lost(_)
        | ToolError::Withdrawn
        | ToolError::Taken
        | ToolError::NoRoom => return Err(mismatch("tool")),
    })
}

fn result_error_to_wit(error: ToolError) -> Result<tool::ResultError> {
    Ok(match error {
        ToolError::TimedOut => tool::ResultError::TimedOut,
        ToolError::Unavailable(why) => tool::ResultError::Unavailable(why.into()),
        ToolError::Uncertain(why) => tool::ResultError::Uncertain(why.into()),
        ToolError::Lost(who) => tool::ResultError::Lost(who.into()),
        ToolError::Withdrawn => tool::ResultError::Withdrawn,
        ToolError::Taken => tool::ResultError::Taken,
        ToolError::NoRoom => tool::ResultError::NoRoom,
        ToolError::Dead => return Err(gone("a call of a tool")),
        ToolError::Denied(_)
        | ToolError::NoSuchTool(_)
        | ToolError::TooLarge { .. }
        | ToolError::TooMany { .. }
        | ToolError::Invalid(_) => return Err(mismatch("pending-result.get")),
    })
}
