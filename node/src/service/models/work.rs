//! Where models work: on threads of their own, so that neither the network nor the threads that write records ever wait for a
//! model. What is asked waits in a short line; a full line says so at once, and a reading that nobody waits for any more ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use tokio::sync::oneshot;

use super::super::lock;
use super::super::problem::{Kind, Problem};

/// Readings that may wait. A clinic asks one at a time; a program that asks for more is told to come back.
const WAITING: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// The threads of the models, and the line before them.
pub(crate) struct ModelWork {
    line: SyncSender<Job>,
}

/// Whether somebody still waits for a reading.
#[derive(Clone, Default)]
pub(crate) struct Wanted(Arc<AtomicBool>);

impl Wanted {
    /// False once nobody waits.
    pub(crate) fn still(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// Ends the reading when whoever asked goes away.
struct Leaving(Wanted);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

impl ModelWork {
    /// The threads of this process: one fewer than there are cores, at least one.
    pub(crate) fn shared() -> &'static ModelWork {
        static SHARED: OnceLock<ModelWork> = OnceLock::new();
        SHARED.get_or_init(|| {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            ModelWork::start(cores.saturating_sub(1).max(1), WAITING)
        })
    }

    fn start(threads: usize, waiting: usize) -> ModelWork {
        let (line, jobs) = sync_channel::<Job>(waiting);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads {
            let jobs = Arc::clone(&jobs);
            let thread = thread::Builder::new().name(format!("model-{number}"));
            // Without a thread the line stays full, and every reading is refused in words.
            if let Err(error) = thread.spawn(move || work(&jobs)) {
                tracing::error!(%error, "no thread for the models");
            }
        }
        ModelWork { line }
    }

    /// Does `reading` on a thread of the models. It should ask [`Wanted::still`] now and then; when this future is dropped,
    /// what has not begun never does.
    ///
    /// # Errors
    /// What `reading` returns; [`Kind::Busy`] when too many wait; a failure when it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&Wanted) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let wanted = Wanted::default();
        let leaving = Leaving(wanted.clone());
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
            if wanted.still() {
                let read = catch_unwind(AssertUnwindSafe(|| reading(&wanted)));
                let _ = answer.send(read.unwrap_or_else(|_| Err(stopped())));
            }
        });
        self.line.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Problem::new(Kind::Busy, "too many readings wait for the models")
                .next("ask again in a few seconds"),
            TrySendError::Disconnected(_) => stopped(),
        })?;
        let read = answered.await.unwrap_or_else(|_| Err(stopped()));
        drop(leaving);
        read
    }
}

fn stopped() -> Problem {
    Problem::failed("the reading stopped early")
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = lock(jobs).recv();
        match next {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Holds the only thread until the sender is dropped.
    fn hold(work: &'static ModelWork) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = std::sync::mpsc::channel::<()>();
        let task = tokio::spawn(async move {
            let reading = move |_: &Wanted| {
                let _ = begun.send(());
                let _ = held.recv();
                Ok(())
            };
            work.run(reading).await.unwrap();
        });
        tokio::task::block_in_place(|| has_begun.recv().unwrap());
        (release, task)
    }

    fn single(waiting: usize) -> &'static ModelWork {
        Box::leak(Box::new(ModelWork::start(1, waiting)))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_line_says_so_and_goes_on_afterwards() {
        let work = single(2);
        let (release, task) = hold(work);
        let waiting: Vec<_> = (0..2).map(|number| tokio::spawn(work.run(move |_| Ok(number)))).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let refused = work.run(|_| Ok(())).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Busy);
        drop(release);
        task.await.unwrap();
        for (number, waited) in waiting.into_iter().enumerate() {
            assert_eq!(waited.await.unwrap().unwrap(), number);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_nobody_waits_for_never_begins() {
        let work = single(2);
        let (release, task) = hold(work);
        let (begun, has_begun) = std::sync::mpsc::channel::<()>();
        let waiting = tokio::spawn(work.run(move |_| {
            let _ = begun.send(());
            Ok(())
        }));
        tokio::time::sleep(Duration::from_millis(50)).await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        drop(release);
        task.await.unwrap();
        work.run(|_| Ok(())).await.unwrap();
        assert!(has_begun.recv().is_err(), "an abandoned reading began");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_has_begun_hears_that_nobody_waits() {
        let work = single(2);
        let (ended, has_ended) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = std::sync::mpsc::channel::<()>();
        let running = tokio::spawn(work.run(move |wanted| {
            let _ = begun.send(());
            while wanted.still() {
                thread::yield_now();
            }
            let _ = ended.send(());
            Ok(())
        }));
        tokio::task::block_in_place(|| has_begun.recv().unwrap());
        running.abort();
        tokio::task::block_in_place(|| has_ended.recv_timeout(Duration::from_secs(10)).unwrap());
    }

    #[tokio::test]
    async fn a_reading_that_panics_is_a_problem_and_the_thread_lives() {
        let work = single(2);
        let broken = work.run::<()>(|_| panic!("as a decoder may")).await.unwrap_err();
        assert_eq!(broken.kind, Kind::Failed);
        assert_eq!(work.run(|_| Ok(7)).await.unwrap(), 7);
    }
}
