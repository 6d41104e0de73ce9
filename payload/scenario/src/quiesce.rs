//! How a device is stopped before an SMMU is touched: the means, and which one a policy takes for which function.

use crate::Policy;
use pci::Offers;

#[cfg(test)]
mod tests;

/// How a function is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Bus mastering off. Nothing resets the device: a counter of its own may run on, and its requests go nowhere.
    BusMaster,
    /// The reset that its driver knows.
    Driver,
    /// Function level reset (PCI Express Base 6.0, 6.6.2).
    Flr,
    /// Reset of the bus below the port on its root bus (7.5.1.3.13).
    BusReset,
    /// Downstream port containment of that port, triggered by software (6.2.11).
    Containment,
    /// By nobody of ours: a kernel that took over reached for its registers, and what it does with the function is its own business.
    Kernel,
}

impl Means {
    /// In words, for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BusMaster => "bus-master disable",
            Self::Driver => "driver reset",
            Self::Flr => "function level reset",
            Self::BusReset => "secondary bus reset",
            Self::Containment => "downstream port containment",
            Self::Kernel => "kernel's own driver",
        }
    }

    /// Nobody of ours may access the function while it lasts.
    #[must_use]
    pub const fn hides(self) -> bool {
        matches!(self, Self::Flr | Self::BusReset | Self::Containment | Self::Kernel)
    }
}

/// The means that a policy is named after.
#[must_use]
pub const fn named(policy: Policy) -> Option<Means> {
    match policy {
        Policy::QuiesceBme => Some(Means::BusMaster),
        Policy::QuiesceDriver => Some(Means::Driver),
        Policy::QuiesceFlr => Some(Means::Flr),
        Policy::QuiesceBusReset => Some(Means::BusReset),
        Policy::QuiesceDpc => Some(Means::Containment),
        _ => None,
    }
}

/// What the policy does to a function: its own means, or the next one that the function offers. `None`: it stops nothing.
#[must_use]
pub fn means(policy: Policy, offers: Offers) -> Option<Means> {
    let Offers { flr, port, port_has_flr, containment } = offers;
    let by_bus = if port { Some(Means::BusReset) } else { None };
    let by_function = if flr { Means::Flr } else { Means::BusMaster };
    match named(policy)? {
        own @ (Means::BusMaster | Means::Driver | Means::Kernel) => Some(own),
        // A bus is reset only where that spares no function which can be reset alone.
        Means::Flr if flr || port_has_flr => Some(by_function),
        Means::Containment if containment => Some(Means::Containment),
        Means::Flr | Means::BusReset | Means::Containment => Some(by_bus.unwrap_or(by_function)),
    }
}
