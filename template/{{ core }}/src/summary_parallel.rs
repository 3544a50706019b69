//! Summaries made by several threads.
//!
//! Plain Rust: nothing in this file knows about Python.

use std::ops::Range;
use std::thread::{Builder, JoinHandle};

pub use rayon::ThreadPoolBuildError;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::summary::{CHUNK, Summary};

/// Threads for one piece of work. They start when there is work to share, and are gone when this
/// is: rayon's own pool, which lives as long as the process, would hang in a forked child.
#[derive(Debug)]
pub struct Workers {
    threads: usize,
    pool: Option<ThreadPool>,
    handles: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Lets that many threads share the work. 0 leaves the number to rayon, which looks at
    /// `RAYON_NUM_THREADS` and at the processors that the process may use.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            pool: None,
            handles: Vec::new(),
        }
    }

    /// Summarizes values. The result is that of [`Summary::of`], to the last bit.
    ///
    /// # Errors
    ///
    /// [`ThreadPoolBuildError`] if the threads cannot be started.
    pub fn summarize(&mut self, values: &[f64]) -> Result<Summary, ThreadPoolBuildError> {
        let chunks = values.len().div_ceil(CHUNK);
        self.fold(Summary::default(), 0..chunks, |chunk| {
            let start = chunk * CHUNK;
            Summary::of(&values[start..values.len().min(start + CHUNK)])
        })
    }

    /// Merges what `summarize` gives for each of some chunks into a summary, in their order.
    ///
    /// # Errors
    ///
    /// [`ThreadPoolBuildError`] if the threads cannot be started.
    pub fn fold(
        &mut self,
        summary: Summary,
        chunks: Range<usize>,
        summarize: impl Fn(usize) -> Summary + Send + Sync,
    ) -> Result<Summary, ThreadPoolBuildError> {
        if chunks.len() < 2 || self.threads == 1 {
            return Ok(chunks.map(summarize).fold(summary, Summary::merge));
        }
        let pool = match self.pool.take() {
            Some(pool) => pool,
            None => self.start()?,
        };
        let chunks = chunks.into_par_iter().map(summarize);
        let summaries: Vec<Summary> = self.pool.insert(pool).install(|| chunks.collect());
        Ok(summaries.into_iter().fold(summary, Summary::merge))
    }

    fn start(&mut self) -> Result<ThreadPool, ThreadPoolBuildError> {
        ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .spawn_handler(|thread| {
                self.handles.push(Builder::new().spawn(|| thread.run())?);
                Ok(())
            })
            .build()
    }
}

impl Drop for Workers {
    /// Waits for the threads, so that whoever forks afterwards does so with none of them around.
    fn drop(&mut self) {
        drop(self.pool.take());
        for handle in self.handles.drain(..) {
            // A panic has already been passed on by the pool.
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let values: Vec<f64> = (0..5 * CHUNK + 7)
            .map(|value| (value as f64).sqrt())
            .collect();
        for threads in [1, 2, 3] {
            let summary = Workers::new(threads).summarize(&values).unwrap();
            assert_eq!(summary.state(), Summary::of(&values).state());
        }
    }

    #[test]
    fn two_threads_work_at_the_same_time() {
        let (sender, receiver) = mpsc::channel();
        let (sender, receiver) = (Mutex::new(sender), Mutex::new(receiver));
        // The first chunk waits until the second has begun.
        let summarize = |chunk| {
            if chunk == 0 {
                let patience = Duration::from_secs(30);
                receiver.lock().unwrap().recv_timeout(patience).unwrap();
            } else {
                sender.lock().unwrap().send(()).unwrap();
            }
            Summary::of(&[1.0])
        };
        let summary = Workers::new(2).fold(Summary::default(), 0..2, summarize);
        assert_eq!(summary.unwrap().count(), 2);
    }
}
