/** A file that somebody chose to import, and what an import of it would do, in words. */
import { type InventoryEffect, type InventoryFormat, type InventoryPlan, maxInventory } from "@broker/domain/Inventory"
import { bytes, count, plural } from "#lib/numbers.ts"

/** By what it is called, or else by how it begins. */
export const formatOf = (name: string, text: string): InventoryFormat => {
  if (/\.json$/i.test(name)) return "json"
  if (/\.(csv|txt|tsv)$/i.test(name)) return "csv"
  return /^\s*[{[]/.test(text.replace(/^\uFEFF/, "")) ? "json" : "csv"
}

/** Why it is not even sent; null where nothing is wrong with it from outside. */
export const refusalOf = ({ size }: { readonly size: number }) => {
  if (size === 0) return "The file is empty. Export the inventory to see what one looks like."
  if (size > maxInventory.bytes) {
    return `The file has ${bytes(size)}, and an import takes ${bytes(maxInventory.bytes)} at most. Take it apart, and import one part after the other.`
  }
  return null
}

/** What it says; null where that is not UTF-8, and names would come out wrong. */
export const textOf = async (file: Blob) => {
  const bytes = await file.arrayBuffer()
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    return null
  }
}

export const changesOf = ({ totals }: Pick<InventoryPlan, "totals">) => totals.creates + totals.updates

/** What the import of a plan would do, in one sentence. */
export const planWords = ({ totals }: Pick<InventoryPlan, "totals">) => {
  const parts = [
    ...(totals.creates > 0 ? [`creates ${plural(totals.creates, "group")}`] : []),
    ...(totals.updates > 0 ? [`changes ${plural(totals.updates, "row")}`] : []),
    ...(totals.unchanged > 0 ? [`leaves ${count(totals.unchanged)} as they are`] : [])
  ]
  return parts.length === 0 ? "It does nothing" : `It ${parts.join(", ")}`
}

export const hrefOf = ({ id, kind }: Pick<InventoryEffect, "id" | "kind">) =>
  id === null ? null : kind === "group" ? `/groups/${id}` : `/servers/${id}`
