//! The program: command line, and the two assemblies (agent, collector).

fn main() {}
