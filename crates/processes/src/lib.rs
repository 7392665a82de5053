//! One live table of processes, fed by kernel events and a start-up scan, read by every source.
