/** How many rows are read and written at a time. */
import { Context } from "effect"

export const InventoryPolicy = Context.Reference("@broker/core/inventory/InventoryPolicy", {
  defaultValue: () => ({
    /** Servers of a page of an export. */
    exported: 500,
    /** Servers that are looked up in one statement. */
    found: 2_000,
    /** Rows that are changed in one statement; the audit log keeps no more new ones of one statement in full. */
    changed: 200,
    /** Audit entries that are sealed in one statement. */
    sealed: 2_000
  })
})
