//! What devices have and how it is named: profiles as data, and what is polled of them.

mod docs;
pub mod import;
mod library;
mod plan;
mod schema;
pub mod telegraf;

pub use docs::metrics_page;
pub use library::{Library, LibraryError, read};
pub(crate) use plan::pairs;
pub use plan::{
    Attribute, ColumnPlan, IndexKind, LabelPlan, LabelSource, MetricPlan, Naming, Plan, ScalarPlan,
    SensorPlan, TablePlan, otel_name,
};
pub use schema::{Column, Label, Module, Profile, Scalar, Sensor, Table};
