//! The rest of WASI's base set, which gives no authority: a command line without arguments and environment, folders of which
//! there are none, sockets that are denied.
//!
//! Components of most languages import all of it, whether they use it or not, because their standard libraries do. So it is
//! always linked, and gives nothing: the few functions that hand out a first handle deny it, or have none to give. All others
//! take a handle that nobody can have, and are in lists of names here, with one answer for all.

use crate::{
    guest::{Guest, Halt},
    row::{InputStreamRow, NetworkRow, NeverRow, OutputStreamRow},
    streams::never_given,
};
use remit_abi::Fault;
use wasmtime::{
    Result, StoreContextMut,
    component::{Linker, LinkerInstance, Resource, ResourceType, Val},
};

/// As sockets have it.
const ACCESS_DENIED: &str = "access-denied";

/// An interface in which nothing can be reached without a handle on one of its resources.
struct Closed {
    interface: &'static str,
    resources: &'static [&'static str],
    functions: &'static [&'static str],
}

const CLOSED: &[Closed] = &[
    Closed { interface: "wasi:cli/terminal-input@0.2.12", resources: &["terminal-input"], functions: &[] },
    Closed { interface: "wasi:cli/terminal-output@0.2.12", resources: &["terminal-output"], functions: &[] },
    Closed {
        interface: "wasi:filesystem/types@0.2.12",
        resources: &["descriptor", "directory-entry-stream"],
        functions: &[
            "[method]descriptor.read-via-stream",
            "[method]descriptor.write-via-stream",
            "[method]descriptor.append-via-stream",
            "[method]descriptor.advise",
            "[method]descriptor.sync-data",
            "[method]descriptor.get-flags",
            "[method]descriptor.get-type",
            "[method]descriptor.set-size",
            "[method]descriptor.set-times",
            "[method]descriptor.read",
            "[method]descriptor.write",
            "[method]descriptor.read-directory",
            "[method]descriptor.sync",
            "[method]descriptor.create-directory-at",
            "[method]descriptor.stat",
            "[method]descriptor.stat-at",
            "[method]descriptor.set-times-at",
            "[method]descriptor.link-at",
            "[method]descriptor.open-at",
            "[method]descriptor.readlink-at",
            "[method]descriptor.remove-directory-at",
            "[method]descriptor.rename-at",
            "[method]descriptor.symlink-at",
            "[method]descriptor.unlink-file-at",
            "[method]descriptor.is-same-object",
            "[method]descriptor.metadata-hash",
            "[method]descriptor.metadata-hash-at",
            "[method]directory-entry-stream.read-directory-entry",
            "filesystem-error-code",
        ],
    },
    Closed {
        interface: "wasi:sockets/tcp@0.2.12",
        resources: &["tcp-socket"],
        functions: &[
            "[method]tcp-socket.start-bind",
            "[method]tcp-socket.finish-bind",
            "[method]tcp-socket.start-connect",
            "[method]tcp-socket.finish-connect",
            "[method]tcp-socket.start-listen",
            "[method]tcp-socket.finish-listen",
            "[method]tcp-socket.accept",
            "[method]tcp-socket.local-address",
            "[method]tcp-socket.remote-address",
            "[method]tcp-socket.is-listening",
            "[method]tcp-socket.address-family",
            "[method]tcp-socket.set-listen-backlog-size",
            "[method]tcp-socket.keep-alive-enabled",
            "[method]tcp-socket.set-keep-alive-enabled",
            "[method]tcp-socket.keep-alive-idle-time",
            "[method]tcp-socket.set-keep-alive-idle-time",
            "[method]tcp-socket.keep-alive-interval",
            "[method]tcp-socket.set-keep-alive-interval",
            "[method]tcp-socket.keep-alive-count",
            "[method]tcp-socket.set-keep-alive-count",
            "[method]tcp-socket.hop-limit",
            "[method]tcp-socket.set-hop-limit",
            "[method]tcp-socket.receive-buffer-size",
            "[method]tcp-socket.set-receive-buffer-size",
            "[method]tcp-socket.send-buffer-size",
            "[method]tcp-socket.set-send-buffer-size",
            "[method]tcp-socket.subscribe",
            "[method]tcp-socket.shutdown",
        ],
    },
    Closed {
        interface: "wasi:sockets/udp@0.2.12",
        resources: &["udp-socket", "incoming-datagram-stream", "outgoing-datagram-stream"],
        functions: &[
            "[method]udp-socket.start-bind",
            "[method]udp-socket.finish-bind",
            "[method]udp-socket.stream",
            "[method]udp-socket.local-address",
            "[method]udp-socket.remote-address",
            "[method]udp-socket.address-family",
            "[method]udp-socket.unicast-hop-limit",
            "[method]udp-socket.set-unicast-hop-limit",
            "[method]udp-socket.receive-buffer-size",
            "[method]udp-socket.set-receive-buffer-size",
            "[method]udp-socket.send-buffer-size",
            "[method]udp-socket.set-send-buffer-size",
            "[method]udp-socket.subscribe",
            "[method]incoming-datagram-stream.receive",
            "[method]incoming-datagram-stream.subscribe",
            "[method]outgoing-datagram-stream.check-send",
            "[method]outgoing-datagram-stream.send",
            "[method]outgoing-datagram-stream.subscribe",
        ],
    },
];

/// Links all of it.
pub(crate) fn add(linker: &mut Linker<Guest>) -> Result<()> {
    for closed in CLOSED {
        let mut interface = linker.instance(closed.interface)?;
        for resource in closed.resources {
            never(&mut interface, resource)?;
        }
        for function in closed.functions {
            interface.func_new(function, |_, _, _, _| Err(never_given()))?;
        }
    }
    add_command(linker)?;
    add_streams(linker)?;
    add_terminals(linker)?;
    add_folders(linker)?;
    add_network(linker)
}

/// A resource of which there is none.
fn never(interface: &mut LinkerInstance<'_, Guest>, name: &str) -> Result<()> {
    interface.resource(name, ResourceType::host::<NeverRow>(), |_, _| Err(never_given()))
}

fn add_command(linker: &mut Linker<Guest>) -> Result<()> {
    let mut environment = linker.instance("wasi:cli/environment@0.2.12")?;
    environment.func_wrap("get-environment", |_, (): ()| Ok((Vec::<(String, String)>::new(),)))?;
    environment.func_wrap("get-arguments", |_, (): ()| Ok((Vec::<String>::new(),)))?;
    environment.func_wrap("initial-cwd", |_, (): ()| Ok((None::<String>,)))?;
    let mut exit = linker.instance("wasi:cli/exit@0.2.12")?;
    exit.func_wrap("exit", |_, (status,): (std::result::Result<(), ()>,)| -> Result<()> {
        Err(exited(if status.is_ok() { "success" } else { "failure" }))
    })?;
    exit.func_wrap("exit-with-code", |_, (code,): (u8,)| -> Result<()> { Err(exited(&format!("code {code}"))) })
}

/// The end of a guest that leaves without an outcome.
fn exited(status: &str) -> wasmtime::Error {
    let text = format!("it ended itself by `exit` ({status}): an agent ends by returning from `run`");
    wasmtime::Error::new(Halt(Fault::Protocol(text.into())))
}

fn add_streams(linker: &mut Linker<Guest>) -> Result<()> {
    linker
        .instance("wasi:cli/stdin@0.2.12")?
        .func_wrap("get-stdin", |mut store: StoreContextMut<'_, Guest>, (): ()| {
            Ok((store.data_mut().push(InputStreamRow)?,))
        })?;
    linker
        .instance("wasi:cli/stdout@0.2.12")?
        .func_wrap("get-stdout", |mut store: StoreContextMut<'_, Guest>, (): ()| {
            Ok((store.data_mut().push(OutputStreamRow::Out)?,))
        })?;
    linker
        .instance("wasi:cli/stderr@0.2.12")?
        .func_wrap("get-stderr", |mut store: StoreContextMut<'_, Guest>, (): ()| {
            Ok((store.data_mut().push(OutputStreamRow::Error)?,))
        })
}

fn add_terminals(linker: &mut Linker<Guest>) -> Result<()> {
    for (interface, function) in [
        ("wasi:cli/terminal-stdin@0.2.12", "get-terminal-stdin"),
        ("wasi:cli/terminal-stdout@0.2.12", "get-terminal-stdout"),
        ("wasi:cli/terminal-stderr@0.2.12", "get-terminal-stderr"),
    ] {
        linker.instance(interface)?.func_wrap(function, |_, (): ()| Ok((None::<Resource<NeverRow>>,)))?;
    }
    Ok(())
}

fn add_folders(linker: &mut Linker<Guest>) -> Result<()> {
    linker
        .instance("wasi:filesystem/preopens@0.2.12")?
        .func_wrap("get-directories", |_, (): ()| Ok((Vec::<(Resource<NeverRow>, String)>::new(),)))
}

fn add_network(linker: &mut Linker<Guest>) -> Result<()> {
    let mut network = linker.instance("wasi:sockets/network@0.2.12")?;
    network.resource("network", ResourceType::host::<NetworkRow>(), |mut store, row| {
        store.data_mut().remove(Resource::<NetworkRow>::new_own(row)).map(drop)
    })?;
    network.func_new("network-error-code", |_, _, _, _| Err(never_given()))?;
    // The one function that cannot deny: its handle opens nothing.
    linker
        .instance("wasi:sockets/instance-network@0.2.12")?
        .func_wrap("instance-network", |mut store: StoreContextMut<'_, Guest>, (): ()| {
            Ok((store.data_mut().push(NetworkRow)?,))
        })?;
    for (interface, function) in [
        ("wasi:sockets/tcp-create-socket@0.2.12", "create-tcp-socket"),
        ("wasi:sockets/udp-create-socket@0.2.12", "create-udp-socket"),
    ] {
        linker.instance(interface)?.func_new(function, |_, _, _, results| {
            deny(results);
            Ok(())
        })?;
    }
    add_names(linker)
}

/// Names are not looked up: a name is a message to whoever serves it.
fn add_names(linker: &mut Linker<Guest>) -> Result<()> {
    let mut names = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    never(&mut names, "resolve-address-stream")?;
    for method in ["resolve-next-address", "subscribe"] {
        names.func_new(&format!("[method]resolve-address-stream.{method}"), |_, _, _, _| Err(never_given()))?;
    }
    names.func_wrap("resolve-addresses", |_, (_, _): (Resource<NetworkRow>, String)| {
        Ok((Err::<Resource<NeverRow>, _>(error_code::ErrorCode::AccessDenied),))
    })
}

/// The answer of a function that gives an error of sockets.
fn deny(results: &mut [Val]) {
    if let Some(result) = results.first_mut() {
        *result = Val::Result(Err(Some(Box::new(Val::Enum(ACCESS_DENIED.to_owned())))));
    }
}

mod error_code {
    #![allow(
        unsafe_code,
        dead_code,
        missing_docs,
        reason = "derived by wasmtime; all names are those of the interface"
    )]

    use wasmtime::component::{ComponentType, Lower};

    /// The errors of sockets, in their order. Only one is ever given; a type must have them all to be the interface's own.
    #[derive(Clone, Copy, Debug, ComponentType, Lower)]
    #[component(enum)]
    #[repr(u8)]
    pub(super) enum ErrorCode {
        #[component(name = "unknown")]
        Unknown,
        #[component(name = "access-denied")]
        AccessDenied,
        #[component(name = "not-supported")]
        NotSupported,
        #[component(name = "invalid-argument")]
        InvalidArgument,
        #[component(name = "out-of-memory")]
        OutOfMemory,
        #[component(name = "timeout")]
        Timeout,
        #[component(name = "concurrency-conflict")]
        ConcurrencyConflict,
        #[component(name = "not-in-progress")]
        NotInProgress,
        #[component(name = "would-block")]
        WouldBlock,
        #[component(name = "invalid-state")]
        InvalidState,
        #[component(name = "new-socket-limit")]
        NewSocketLimit,
        #[component(name = "address-not-bindable")]
        AddressNotBindable,
        #[component(name = "address-in-use")]
        AddressInUse,
        #[component(name = "remote-unreachable")]
        RemoteUnreachable,
        #[component(name = "connection-refused")]
        ConnectionRefused,
        #[component(name = "connection-reset")]
        ConnectionReset,
        #[component(name = "connection-aborted")]
        ConnectionAborted,
        #[component(name = "datagram-too-large")]
        DatagramTooLarge,
        #[component(name = "name-unresolvable")]
        NameUnresolvable,
        #[component(name = "temporary-resolver-failure")]
        TemporaryResolverFailure,
        #[component(name = "permanent-resolver-failure")]
        PermanentResolverFailure,
    }
}
