//! The program: command line, and the two assemblies (agent, collector).

mod settings;

fn main() {}
