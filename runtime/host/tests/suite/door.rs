//! A door that answers from a script and remembers what it was asked.

use remit_abi::{
    ClockReply, ClockRequest, Dispatch, Door, FuelReply, Pid, Reply, Request, Shortfall, TimerId, Tokens, ValueReply,
    ValueRequest, WaitRequest,
};
use std::{
    future::{Future, poll_fn},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    task::Poll,
    thread,
    time::Duration,
};

/// Answers a request out of the ordinary; `None` leaves it to the door.
type Script = dyn Fn(&Request) -> Option<Reply> + Send + Sync;

/// A kernel of a few lines. Fuel is sold while there are slices; everything else succeeds.
pub(crate) struct ScriptedDoor {
    /// How long each call that may wait does wait.
    pub(crate) delay: Option<Duration>,
    pub(crate) slices: AtomicU64,
    pub(crate) slices_sold: AtomicU64,
    asked: Mutex<Vec<Request>>,
    script: Box<Script>,
    timers: AtomicU64,
    /// Told of every request as it comes, answered or not.
    watcher: Option<mpsc::Sender<()>>,
}

/// Sees a door's requests come, and the door go.
pub(crate) struct Watch(mpsc::Receiver<()>);

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

impl Watch {
    /// Waits until a guest is under way: it has bought a slice and come back for more, or has made a call.
    pub(crate) fn until_under_way(&self) {
        for _ in 0..2 {
            self.0.recv_timeout(PATIENCE).expect("the guest comes to its door");
        }
    }

    /// Waits until nothing holds the door any more.
    pub(crate) fn until_gone(&self) {
        while self.0.recv_timeout(PATIENCE) != Err(mpsc::RecvTimeoutError::Disconnected) {}
    }
}

impl ScriptedDoor {
    pub(crate) fn new(slices: u64) -> Self {
        Self {
            delay: None,
            slices: slices.into(),
            slices_sold: 0.into(),
            asked: Mutex::default(),
            script: Box::new(|_| None),
            timers: 0.into(),
            watcher: None,
        }
    }

    pub(crate) fn watched(mut self) -> (Self, Watch) {
        let (watcher, watch) = mpsc::channel();
        self.watcher = Some(watcher);
        (self, Watch(watch))
    }

    fn came(&self) {
        if let Some(watcher) = &self.watcher {
            // Nobody watches any more where the test has gone on.
            let _gone = watcher.send(());
        }
    }

    pub(crate) fn delayed(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    pub(crate) fn scripted(mut self, script: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Self {
        self.script = Box::new(script);
        self
    }

    /// What was asked so far, but for fuel.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().expect("no test panics here").clone()
    }

    fn answer(&self, request: &Request) -> Reply {
        if let Request::Fuel(_) = request {
            let left = |slices: u64| slices.checked_sub(1);
            return Reply::Fuel(match self.slices.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left) {
                Ok(_) => {
                    self.slices_sold.fetch_add(1, Ordering::Relaxed);
                    FuelReply::Granted
                }
                Err(_) => FuelReply::Refused(Shortfall { needed: Tokens::from_micro(1), remaining: Tokens::ZERO }),
            });
        }
        self.asked.lock().expect("no test panics here").push(request.clone());
        if let Some(reply) = (self.script)(request) {
            return reply;
        }
        match request {
            Request::Task(_) => Reply::Task(Ok(())),
            Request::Checkpoint(_) => Reply::Checkpoint(Ok(())),
            Request::Trace(_) => Reply::Trace,
            Request::Value(ValueRequest::Drop { .. }) => Reply::Value(Ok(ValueReply::Dropped)),
            Request::Clock(ClockRequest::Monotonic) => Reply::Clock(ClockReply::Monotonic(1_000)),
            Request::Clock(ClockRequest::StartTimer { .. }) => {
                let index = self.timers.fetch_add(1, Ordering::Relaxed);
                let index = u32::try_from(index).expect("few timers");
                Reply::Clock(ClockReply::Timer(TimerId { index, generation: 7 }))
            }
            Request::Clock(ClockRequest::DropTimer { .. }) => Reply::Clock(ClockReply::Dropped),
            Request::Wait(WaitRequest::Any { ids }) => {
                Reply::Ready([u32::try_from(ids.len() - 1).expect("few ids")].into())
            }
            Request::Wait(WaitRequest::IsReady { .. }) => Reply::Ready([].into()),
            other => panic!("the script has no answer to {other:?}"),
        }
    }
}

impl Door for ScriptedDoor {
    fn try_dispatch(&self, _: Pid, request: &Request) -> Option<Reply> {
        self.came();
        (!request.may_wait()).then(|| self.answer(request))
    }

    fn dispatch(&self, _: Pid, request: Request) -> Dispatch<'_> {
        self.came();
        Box::pin(async move {
            if let Some(delay) = self.delay {
                sleep(delay).await;
            }
            self.answer(&request)
        })
    }
}

/// Waits on a thread of its own.
fn sleep(time: Duration) -> impl Future<Output = ()> {
    let done = Arc::new(AtomicBool::new(false));
    let mut started = false;
    poll_fn(move |context| {
        if done.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if !started {
            started = true;
            let (done, waker) = (Arc::clone(&done), context.waker().clone());
            thread::spawn(move || {
                thread::sleep(time);
                done.store(true, Ordering::Release);
                waker.wake();
            });
        }
        Poll::Pending
    })
}
