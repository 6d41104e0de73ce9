//! The vocabulary: every rule that a finding can name. Ids are stable; reports and tests compare them.

use crate::finding::Severity;

/// A rule that firmware tables keep.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable name: `E_` error, `W_` warning, `N_` note.
    pub id: &'static str,
    /// How much breaking it takes away.
    pub severity: Severity,
    /// What was seen.
    pub says: &'static str,
    /// What would be right.
    pub right: &'static str,
}

macro_rules! rules {
    ($($clause:literal { $($id:ident $severity:ident $says:literal => $right:literal;)* })*) => {
        $($(
            #[doc = concat!("The ", $says, ".")]
            pub static $id: Rule =
                Rule { id: stringify!($id), severity: Severity::$severity, says: $says, right: $right };
        )*)*

        /// All rules, for lists and for tests.
        pub static ALL: &[&Rule] = &[$($(&$id),*),*];

        /// Where each rule stands. Apart from the rules, because the images have no use for it.
        static CLAUSES: &[(&str, &[&Rule])] = &[$(($clause, &[$(&$id),*])),*];
    };
}

impl Rule {
    /// Document and clause that the rule is from.
    #[must_use]
    pub fn clause(&self) -> &'static str {
        let holds = |rules: &[&Self]| rules.iter().any(|rule| rule.id == self.id);
        CLAUSES.iter().find(|(_, rules)| holds(rules)).map_or("", |(clause, _)| clause)
    }
}

rules! {
    // Every table.
    "ACPI 6.5, 5.2.6 (header)" {
        E_SHORT Error "bytes are fewer than the table's fixed part" => "at least the fixed part";
        E_SIG Error "signature is another table's" => "the signature of the table asked for";
        E_LEN_GT_FILE Error "header Length is larger than the bytes there are" => "a table that is there as a whole";
        E_LEN_LT_HDR Error "header Length is smaller than the table's fixed part" => "Length of the whole table";
        W_TRAILING_BYTES Warning "bytes follow the table's Length" => "nothing behind Length";
        W_CHECKSUM Warning "checksum is wrong" => "a checksum that makes the byte sum zero";
        W_TABLE_MISSING Warning "table is not there" => "a table that describes this part of the machine";
    }
    "this reader's own bound" {
        W_CAPACITY Warning "table names more than is kept; the rest is left out" => "no more than the capacity named";
        N_CHECK_CUT Note "table is so large that not every pair was compared" => "a smaller table";
    }
    "ACPI 6.5, 5.2 (structures carry their own length)" {
        E_RECORD_LEN_ZERO Error "record Length is zero; the walk ends here" => "Length of the whole record";
        E_RECORD_SHORT Error "record is shorter than its type's fields" => "the fixed length of its type";
        E_RECORD_OOB Error "record crosses the end of what holds it" => "a record inside";
        N_RECORD_TYPE Note "record type is unknown and not read" => "a type of the ACPI specification";
    }

    // IORT: table and nodes.
    "DEN 0049E.f, Table 2 (IORT)" {
        W_TABLE_REV Warning "table revision is newer than this reader; what is understood is read" => "revision 0, 3, 5, 6 or 7";
        W_TABLE_REV_DEPRECATED Warning "table revision is a withdrawn draft" => "revision 0, 3 or at least 5";
        E_NODE_OFFSET Error "node array starts outside the table" => "an offset from 48 to the table's Length";
        E_COUNT_OVERRUN Error "node count is larger than the nodes there are" => "the number of nodes present";
        W_COUNT_UNDERRUN Warning "bytes follow the last counted node" => "a count of all nodes";
        W_NO_NODES Warning "node count is zero" => "at least one node";
    }
    "DEN 0049E.f, 3.1.1 (node header)" {
        E_NODE_HDR_TRUNC Error "node header crosses the end of the table" => "16 bytes of header";
        E_NODE_LEN_ZERO Error "node Length is zero; the walk ends here" => "Length of the whole node";
        E_NODE_LEN_SHORT Error "node is shorter than its type's fixed part" => "the fixed length of its type and revision";
        E_NODE_LEN_OOB Error "node crosses the end of the table" => "a node inside the table";
        W_NODE_TYPE Warning "node type is unknown; the node is listed and not read" => "type 0 to 7";
        W_NODE_REV Warning "node revision is newer than this reader; the known part is read" => "a known revision";
    }
    "DEN 0049E.f, named component node" {
        E_NAME_UNTERM Error "device object name has no end" => "a NUL behind the name, inside the node";
    }
    "DEN 0049E.f, Table 12 (ITS group)" {
        E_ITS_COUNT Error "ITS identifiers cross the end of the node" => "a count that fits the node";
    }
    "DEN 0049E.f, SMMUv1 or SMMUv2 node" {
        E_SMMU_IRQ_OOB Error "interrupts are not inside the node behind its fixed part" => "offsets and counts that fit";
    }
    "DEN 0049E.f, SMMUv3 node" {
        E_DEVID_INDEX Error "DeviceID mapping index is not below the number of mappings" => "an index of a mapping";
        W_SMMU_BASE_ZERO Warning "SMMU base address is zero; it is never touched" => "the address of its registers";
        W_DUP_SMMU_BASE Warning "two SMMU nodes have one base address" => "one node for each SMMU";
    }
    "DEN 0049E.f, root complex node" {
        W_DUP_SEGMENT Warning "two root complexes of one segment claim the same IDs; the first one has them" => "disjoint IDs";
    }
    "DEN 0049E.f, PMCG node" {
        W_PMCG_REF Warning "monitored node is not the start of a node" => "the offset of the node that is monitored, or 0";
    }

    // IORT: ID mappings.
    "DEN 0049E.f, 3.1.1 (node header: reference to ID array)" {
        E_MAP_ARRAY_OOB Error "ID mappings are not inside the node behind its fixed part" => "offset and count that fit";
    }
    "DEN 0049E.f, Table 4 (ID mapping)" {
        E_MAP_REF_ZERO Error "output reference is zero" => "the offset of an SMMU or ITS group node";
        E_MAP_REF_OOB Error "output reference is outside the table" => "the offset of an SMMU or ITS group node";
        E_MAP_REF_INNER Error "output reference is not the start of a node" => "the offset of an SMMU or ITS group node";
        E_MAP_REF_TYPE Error "output reference names a node that cannot be an output" => "an SMMU or an ITS group";
        E_MAP_LOOP Error "output references lead back to this node" => "device, then SMMU, then ITS group";
        E_MAP_WRAP Error "ID range passes 32 bits" => "base + count below 2^32";
        E_MAP_OVERLAP Error "two mappings of one node hold the same input IDs" => "one mapping for each ID";
        W_MAP_OFF_BY_ONE Warning "last ID of one mapping is the first of another" => "ID count written as the number minus one";
        W_MAP_SINGLE_TYPE Warning "single-mapping flag on a node type that has none" => "flag clear";
        W_MAP_SINGLE_COUNT Warning "single-mapping flag with more than one ID" => "ID count 0 (one ID), or flag clear";
        W_MAP_FLAGS Warning "reserved mapping flag bits are set" => "bits 31:1 clear";
    }

    // IORT: reserved memory ranges.
    "DEN 0049E.d, 3.1.1.5 (RMR node)" {
        W_RMR_REV Warning "RMR node has a draft layout" => "node revision 3";
        W_RMR_TABLE_REV Warning "RMR node in a table below revision 5: Linux ignores it" => "table revision 5 or later";
        E_RMR_NO_DESC Error "RMR node has no memory range" => "at least one range";
        E_RMR_DESC_OOB Error "memory ranges are not inside the node behind its fixed part" => "offset and count that fit";
        W_RMR_NO_MAP Warning "RMR node has no ID mapping and so belongs to no stream" => "a mapping for each stream";
        W_RMR_UNALIGNED Warning "memory range is not made of whole 64 KiB granules" => "base and length multiples of 0x10000";
        W_RMR_ZERO_LEN Warning "memory range has length zero" => "at least 64 KiB";
        E_RMR_WRAP Error "memory range passes 64 bits" => "base + length at most 2^64";
        W_RMR_OVERLAP Warning "two memory ranges overlap" => "disjoint ranges";
        E_RMR_REF_TYPE Error "RMR mapping names a node that is not an SMMU" => "the offset of an SMMU node";
        W_RMR_FLAGS Warning "reserved RMR flag bits are set" => "bits 31:10 clear";
        N_RMR_ATTR Note "RMR access attribute is a reserved value" => "0 to 5";
    }

    // IORT: reserved memory ranges on the machine at hand.
    "DEN 0049E.d, 3.1.1.5 (RMR node), and UEFI 2.10, 7.2.1 (memory types)" {
        W_RMR_MEMORY_ABSENT Warning "memory range is not in the UEFI memory map" => "a descriptor that holds the range";
        W_RMR_MEMORY_SPLIT Warning "memory range is not inside one descriptor of the UEFI memory map" => "one descriptor that holds the range";
        W_RMR_MEMORY_TYPE Warning "memory range is of a type that an operating system takes for itself" => "EfiReservedMemoryType (0) or EfiRuntimeServicesData (6)";
    }
    "DEN 0049E.d, 3.1.1.5 (RMR node: memory of a device)" {
        E_RMR_ON_SMMU Error "memory range lies on an SMMU's registers" => "memory of its device alone";
        W_RMR_ON_ITS Warning "memory range lies on an ITS" => "memory of its device alone, or a window for MSIs that is meant";
        E_RMR_ON_ECAM Error "memory range lies on PCI configuration space" => "memory of its device alone";
        W_RMR_ON_MMIO Warning "memory range lies on another device's registers" => "memory of its device alone";
        E_RMR_ON_KDUMP Error "memory range lies in the crash kernel's memory" => "memory of its device alone";
        W_RMR_NO_DEVICE Warning "no device has these StreamIDs" => "StreamIDs of a device that is there";
        W_RMR_NOT_PASSED Warning "stream table in force does not let the stream through to its range unchanged" => "a bypass or an identity translation of the whole range";
        N_RMR_PASSAGE_UNKNOWN Note "what the stream table in force makes of the range could not be told" => "a configuration that can be walked";
    }

    // IORT: one table, two readings.
    "DEN 0049E.f, Table 4 (ID mapping); Linux 7.3, drivers/acpi/arm64/iort.c" {
        W_READINGS_DIFFER Warning "Linux takes this device's IDs to another place than the table says" => "a table that both read alike";
    }

    // MCFG.
    "PCI Firmware 3.3, 4.1.2" {
        E_ECAM_BUSES Error "last bus is below the first" => "first bus not above the last";
        E_ECAM_BASE Error "ECAM base is zero or its range passes 64 bits" => "the address of bus 0 of the segment";
        W_ECAM_UNALIGNED Warning "ECAM base is not a multiple of 1 MiB" => "1 MiB for each bus";
        W_ECAM_OVERLAP Warning "two ECAM entries claim one bus of one segment; the first one has it" => "disjoint buses";
        W_ECAM_NONE Warning "table has no ECAM entry" => "an entry for each host bridge";
    }

    // SPCR and DBG2.
    "Microsoft, Serial Port Console Redirection and Debug Port Table 2" {
        W_CONSOLE_TYPE Warning "UART is of a type that is not driven" => "PL011 (0x03), SBSA (0x0d, 0x0e) or 16550 (0x00, 0x01, 0x12)";
        E_CONSOLE_ADDRESS Error "UART is not at an address in memory space" => "space 0 and an address that is not zero";
        W_CONSOLE_ACCESS Warning "UART access size is unusable; 32 bits are taken" => "1 to 3 (8, 16 or 32 bits)";
        W_CONSOLE_STRIDE Warning "distance of a 16550's registers is unusable, or below their width" => "1, 2, 4 or 8 bytes";
        W_DBG2_NO_SERIAL Warning "table names no serial port that can be driven" => "a serial port of a known type";
    }

    // GTDT, MADT, FADT.
    "ACPI 6.5, 5.2.25 (GTDT)" {
        W_TIMER_GSIV Warning "EL2 timer has no interrupt" => "the GSIV of the EL2 physical timer";
    }
    "ACPI 6.5, 5.2.12 (MADT)" {
        W_GIC_NO_DISTRIBUTOR Warning "table names no GIC distributor" => "one GICD record";
        W_GIC_DISTRIBUTORS Warning "table names a second GIC distributor; the first one is taken" => "one GICD record";
        W_GIC_NO_REDISTRIBUTOR Warning "table names no GIC redistributor" => "GICR records, or a base in each GICC record";
    }
    "ACPI 6.5, 5.2.9 (FADT)" {
        W_FADT_REVISION Warning "FADT is older than the ARM boot flags" => "revision 5.1 or later";
        W_PSCI_NONE Warning "firmware does not claim PSCI" => "ARM_BOOT_ARCH bit 0 set";
    }

    // Devicetree.
    "Devicetree Specification v0.4, chapter 5" {
        E_DTB_MAGIC Error "bytes hold no devicetree" => "0xd00dfeed at the start";
        E_DTB_VERSION Error "format version is not read" => "version 17, compatible with 17 or earlier";
        E_DTB_BLOCK Error "block is not inside the blob" => "offset and size inside totalsize";
        E_DTB_BOUND Error "tree is larger or deeper than what is read" => "2 MiB, 16384 nodes, 15 levels";
        E_DTB_CUT Error "structure block ends inside the tree" => "FDT_END behind the root's end";
        E_DTB_STRUCTURE Error "token is not one that can be here" => "one root; properties before nodes; FDT_END last";
        E_DTB_NAME Error "name has no end, is longer than 255 bytes or no text" => "a NUL-terminated name inside its block";
        E_DTB_PROPERTY Error "property crosses the end of the structure block" => "a length that fits";
        W_DTB_RESERVATIONS Warning "memory reservation block has no end among its first 256 entries" => "an entry of zeros at the end";
    }
    "Devicetree Specification v0.4, chapters 2 and 3" {
        W_DTB_PHANDLE_TWICE Warning "two nodes have one phandle; the first one has it" => "a phandle for each node";
        E_DTB_PHANDLE Error "phandle names no node" => "the phandle of a node that is there";
        E_DTB_REG Error "value is missing or not made of whole entries" => "#address-cells and #size-cells of the parent, at most 2 each";
        E_DTB_ADDRESS Error "range does not reach the CPU or passes 64 bits" => "ranges of all buses above that hold it";
        E_DTB_RANGES Error "ranges of a host bridge are not made of whole entries" => "3 cells, the parent's address, 2 cells";
        W_DTB_INTERRUPT Warning "interrupt does not reach the GIC by a number of its own" => "SPI, PPI, extended SPI or extended PPI";
        W_DTB_NO_MEMORY Warning "no memory is named" => "a node with device_type memory";
        W_DTB_NO_CPU Warning "no CPU is named" => "nodes below /cpus";
        W_DTB_CPU_METHOD Warning "CPU is started by a method that is not driven" => "enable-method psci";
        W_DTB_STDOUT Warning "console is not named, or names no node" => "stdout-path of /chosen: a path or an alias";
        W_DTB_INITRD Warning "initial RAM disk ends before it begins" => "linux,initrd-end above linux,initrd-start";
    }
    "Linux bindings arm/psci, interrupt-controller/arm,gic-v3" {
        W_DTB_PSCI Warning "PSCI is of version 0.1 or has no method" => "arm,psci-0.2 or later; method smc or hvc";
        W_DTB_REDISTRIBUTOR_STRIDE Warning "redistributors lie at a distance of their own" => "128 KiB, or 256 KiB since GICv4";
    }
    "Linux binding pci/host-generic-pci" {
        W_DTB_HOST_KIND Warning "host bridge does not say that its configuration space is ECAM; it is not used" => "pci-host-ecam-generic";
        W_DTB_HOST_CAM Warning "configuration space is CAM; it is not used" => "pci-host-ecam-generic";
        W_DTB_HOST_GHOSTS Warning "ECAM shows the one device of the root bus many times; it is not used" => "pci-host-ecam-generic";
        W_DTB_ECAM_SHORT Warning "configuration space holds fewer buses than bus-range; it decides" => "1 MiB for each bus";
        E_DTB_DOMAIN Error "segment number passes 16 bits, or another host bridge has the buses" => "a linux,pci-domain of its own";
    }
    "Linux bindings iommu/arm,smmu-v3, iommu/iommu, pci/pci-iommu, pci/pci-msi" {
        W_DTB_SMMU_SHORT Warning "SMMU has fewer registers than two pages" => "0x20000 bytes";
        E_DTB_IOMMU_CELLS Error "SMMUv3 has StreamIDs of a number of cells that it cannot have" => "#iommu-cells 1";
        W_DTB_IOMMU_KIND Warning "IOMMU is no SMMUv3; what is behind it is not resolved" => "arm,smmu-v3";
        N_DTB_IOMMU_OFF Note "IOMMU is switched off: Linux takes what is behind it for untranslated" => "status okay";
        W_DTB_MSI_KIND Warning "MSI controller is no ITS; it is left out" => "arm,gic-v3-its";
        W_DTB_DEVICE_IDS Warning "one StreamID has two DeviceIDs, which an IORT cannot say; the first is taken" => "a StreamID for each DeviceID";
        E_DTB_MAP_LENGTH Error "ID map is empty or not made of whole entries; it is not read" => "16 bytes for each entry";
        E_DTB_MAP_MASK Error "ID base has bits outside the map's mask; the map ends here" => "a base inside the mask";
        E_DTB_MAP_WRAP Error "ID range of a map entry passes 32 bits" => "base + length below 2^32 on both sides";
        W_DTB_MAP_EMPTY Warning "map entry has length zero" => "at least one ID";
        W_DTB_MAP_OVERLAP Warning "two map entries hold one ID; the first one has it" => "disjoint entries";
    }
    "devicetree schema, reserved-memory/reserved-memory; Linux, of_iommu_get_resv_regions()" {
        W_DTB_REGION_UNREACHED Warning "iommu-addresses names a device that does not name the region: Linux ignores it" => "the region in the device's memory-region";
        W_DTB_REGION_EMPTY Warning "device address range has length zero: Linux ignores it" => "at least one byte";
        N_DTB_REGION_IOVA Note "region reserves device addresses without memory; no RMR says that" => "nothing: it is no direct range";
        W_DTB_REGION_INDIRECT Warning "device addresses are not those of reg: Linux reserves them and maps nothing" => "equal ranges";
        W_DTB_REGION_NO_STREAM Warning "region is reached by a device that has no StreamID" => "iommus, or iommu-map above a PCI function";
        W_DTB_REGION_GRANULE Warning "region is not made of whole 64 KiB granules, as an RMR's range is" => "multiples of 0x10000";
        W_DTB_IORT_FULL Warning "translated table has no room for all that the tree says" => "fewer devices, or ID maps of fewer pieces";
    }
}
