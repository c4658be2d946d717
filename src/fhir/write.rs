//! Writes work items into the chart: as a Task or a Flag, or as a Communication or a note if the chart accepts neither.

pub mod parts;
pub mod task;
pub mod flag;
pub mod note;
pub mod communication;
pub mod document_reference;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::chart_plan::{Rung, WriteIntent};
use crate::domain::task::ChartResource;
use parts::{ChartState, Merge, WrittenPostures};

/// Resource type that a work item is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WriteForm {
    Task,
    /// An alert.
    Flag,
    Communication,
    DocumentReference,
}

impl WriteForm {
    /// Type that is written on a rung; `None` if nothing is written.
    pub fn of(rung: Rung, resource: ChartResource) -> Option<Self> {
        match (rung, resource) {
            (Rung::TaskAndFlag, ChartResource::Task) => Some(Self::Task),
            (Rung::TaskAndFlag, ChartResource::Flag) => Some(Self::Flag),
            (Rung::Communication, _) => Some(Self::Communication),
            (Rung::DocumentReference, _) => Some(Self::DocumentReference),
            (Rung::CdsCard | Rung::Worklist, _) => None,
        }
    }

    /// The type of the resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "Task",
            Self::Flag => "Flag",
            Self::Communication => "Communication",
            Self::DocumentReference => "DocumentReference",
        }
    }
}

/// A planned Task or Flag in the form that the chart takes. `system` is the namespace of the intent's identifier.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    pub intent: &'a WriteIntent,
    /// Type that it is written as.
    pub form: WriteForm,
    /// The namespace of its identifier.
    pub system: &'a str,
    /// Whether what was written can be changed later: what cannot be changed never says that it is still going on.
    pub updates: bool,
}

impl Planned<'_> {
    /// A new resource as the plan wants it.
    pub fn resource(self, now: DateTime<Utc>) -> Value {
        match self.form {
            WriteForm::Task => task::task(self.intent, self.system, now),
            WriteForm::Flag => flag::flag(self.intent, self.system),
            WriteForm::Communication => communication::communication(self),
            WriteForm::DocumentReference => document_reference::document_reference(self),
        }
    }

    /// Brings our change into the chart's present version.
    pub fn merge(self, current: &Value, written: &WrittenPostures, now: DateTime<Utc>) -> Merge {
        match self.form {
            WriteForm::Task => task::merge(current, self.intent, self.system, written, now),
            WriteForm::Flag => flag::merge(current, self.intent, self.system, written),
            WriteForm::Communication => communication::merge(current, self, written),
            WriteForm::DocumentReference => document_reference::merge(current, self, written),
        }
    }

    /// State of a resource in the chart.
    pub fn state(self, current: &Value, written: &WrittenPostures) -> ChartState {
        match self.form {
            WriteForm::Task => task::state(current, written),
            WriteForm::Flag => flag::state(current, written),
            WriteForm::Communication => communication::state(current, written),
            WriteForm::DocumentReference => document_reference::state(current, written),
        }
    }

    /// The `number`-th follow-up to a note that cannot be changed: that it is no longer called for, or is again. `None`
    /// for what is always changed in place.
    pub fn follow_up(self, first: &str, number: u32, now: DateTime<Utc>) -> Option<Value> {
        match self.form {
            WriteForm::Task | WriteForm::Flag => None,
            WriteForm::Communication => Some(communication::follow_up(self, first, number, now)),
            WriteForm::DocumentReference => Some(document_reference::follow_up(self, first, number, now)),
        }
    }

    /// The identifier of a follow-up.
    pub fn follow_up_identifier(self, number: u32) -> String {
        format!("{}/{number}", self.intent.identifier)
    }
}
