//! The crate's allocator, which can hold one thread to a quota. No interpreter hook sees a template that
//! doubles a string forty times or spends its time inside one filter, but every such step allocates.
//!
//! An allocator may neither unwind nor lie, so a thread that goes over its quota is stopped for good: it
//! reports, then sleeps inside `alloc` until the process ends. What it holds, at most its quota, is lost
//! with it; the caller must therefore not run the same offender again and again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

struct QuotaAllocator;

#[global_allocator]
static ALLOCATOR: QuotaAllocator = QuotaAllocator;

const UNLIMITED: usize = usize::MAX;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(UNLIMITED) };
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
    static REPORT: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Runs `body` with at most `bytes` allocated beyond what is freed, and no allocation after `time`.
/// Does not return when that is not enough: `report` is called and the thread never runs again.
pub fn limited<T>(
    bytes: usize,
    time: Duration,
    report: impl FnOnce() + 'static,
    body: impl FnOnce() -> T,
) -> T {
    REPORT.set(Some(Box::new(report)));
    DEADLINE.set(Instant::now().checked_add(time));
    LEFT.set(bytes);
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
    let late = bytes >= 1024 && DEADLINE.get().is_some_and(|deadline| Instant::now() > deadline);
    match left.checked_sub(bytes) {
        Some(rest) if !late => LEFT.set(rest),
        _ => stop(),
    }
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
