//! The crate's allocator, which can hold one thread to a quota. No interpreter hook sees a template that
//! doubles a string forty times or spends its time inside one filter, but every such step allocates.
//!
//! An allocator may neither unwind nor lie, so a thread that goes over its quota is stopped for good: it
//! reports, then sleeps inside `alloc` until the process ends. What it holds, at most its quota, is lost
//! with it; the caller must therefore not run the same offender again and again. (A hook for failed
//! allocations that may unwind, std::alloc::set_alloc_error_hook, is not in stable Rust.)

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

struct QuotaAllocator;

#[global_allocator]
static ALLOCATOR: QuotaAllocator = QuotaAllocator;

const UNLIMITED: usize = usize::MAX;
/// Of how many small allocations one looks at the clock.
const CLOCK_EVERY: u32 = 256;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(UNLIMITED) };
    static SINCE_CLOCK: Cell<u32> = const { Cell::new(0) };
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
    static REPORT: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

#[derive(Clone, Copy)]
pub struct Quota {
    /// Everything that is allocated less what is freed.
    pub bytes: usize,
    pub time: Duration,
    /// Address space of the stack, not memory: pages are used as a recursion gets there.
    pub stack_bytes: usize,
}

/// What used up a quota.
#[derive(Debug, PartialEq)]
pub struct Overrun(pub &'static str);

/// Runs `body` on a thread of its own that is called `name`, and stops that thread for good once it is over
/// its quota.
pub fn within<T: Send + 'static>(
    quota: Quota,
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<std::result::Result<T, Overrun>> {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::Builder::new().name(name.into()).stack_size(quota.stack_bytes).spawn(
        move || {
            let stopped = sender.clone();
            let report = move || {
                let _ = stopped.send(Err(Overrun("memory or time")));
            };
            let result = limited(quota, report, body);
            let _ = sender.send(Ok(result)); // nobody listens after a timeout
        },
    );
    thread.map_err(|e| Failure::Internal(format!("no thread for the {name}: {e}")))?;
    // Twice the time: the quota itself stops the thread after `time`, at one of its next allocations.
    Ok(receiver.recv_timeout(quota.time * 2).unwrap_or(Err(Overrun("time"))))
}

/// Does not return when the quota is not enough: `report` is called and the thread never runs again.
fn limited<T>(quota: Quota, report: impl FnOnce() + 'static, body: impl FnOnce() -> T) -> T {
    REPORT.set(Some(Box::new(report)));
    DEADLINE.set(Instant::now().checked_add(quota.time));
    LEFT.set(quota.bytes);
    let result = body();
    LEFT.set(UNLIMITED);
    REPORT.take();
    result
}

fn charge(bytes: usize) {
    let left = LEFT.get();
    if left == UNLIMITED {
        return;
    }
    let late =
        asks_clock(bytes) && DEADLINE.get().is_some_and(|deadline| Instant::now() > deadline);
    match left.checked_sub(bytes) {
        Some(rest) if !late => LEFT.set(rest),
        _ => stop(),
    }
}

fn asks_clock(bytes: usize) -> bool {
    let n = SINCE_CLOCK.get().wrapping_add(1);
    SINCE_CLOCK.set(n);
    bytes >= 1024 || n % CLOCK_EVERY == 0
}

fn refund(bytes: usize) {
    let left = LEFT.get();
    if left != UNLIMITED {
        // Frees of what was allocated before the quota began must not end it.
        LEFT.set(left.saturating_add(bytes).min(UNLIMITED - 1));
    }
}

fn stop() -> ! {
    LEFT.set(UNLIMITED); // the report allocates
    if let Some(report) = REPORT.take() {
        report();
    }
    loop {
        std::thread::park();
    }
}

// SAFETY: every call is the system allocator's; the accounting touches thread-locals only, which are
// const-initialised and so need no allocation of their own.
unsafe impl GlobalAlloc for QuotaAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        System.alloc_zeroed(layout)
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        refund(layout.size());
        charge(new_size);
        System.realloc(ptr, layout, new_size)
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        refund(layout.size());
        System.dealloc(ptr, layout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    fn quota(bytes: usize, time_ms: u64) -> Quota {
        Quota { bytes, time: Duration::from_millis(time_ms), stack_bytes: 1 << 20 }
    }

    #[test]
    fn what_stays_within_its_quota_has_its_result() {
        let taken = within(quota(1 << 20, 60_000), "test", || vec![1u8; 1 << 10].len());
        assert_eq!(taken.unwrap(), Ok(1 << 10));
    }

    #[test]
    fn what_takes_too_much_memory_is_given_up() {
        let taken = within(quota(1 << 20, 60_000), "test", || black_box(vec![1u8; 2 << 20]).len());
        assert_eq!(taken.unwrap(), Err(Overrun("memory or time")));
    }

    #[test]
    fn what_takes_too_long_is_given_up_also_where_it_takes_little_at_a_time() {
        let taken = within(quota(1 << 20, 50), "test", || loop {
            drop(black_box(Box::new(1u64)));
        });
        let taken: std::result::Result<(), Overrun> = taken.unwrap();
        assert!(taken.is_err());
    }
}
