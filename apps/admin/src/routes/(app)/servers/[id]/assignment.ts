/** Group, tags and labels as somebody types them, and what was changed of them. */
import type { ServerAssignment } from "@broker/domain/Server"

export const joinTags = (tags: ReadonlyArray<string>) => tags.join(", ")

export const splitTags = (text: string): ReadonlyArray<string> => [
  ...new Set(
    text
      .split(/[,\s]+/)
      .map((tag) => tag.trim())
      .filter((tag) => tag !== "")
  )
]

export const joinLabels = (labels: Readonly<Record<string, string>>) =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join("\n")

/** A line without `=` is a key without a value. */
export const splitLabels = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    text
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "")
      .map((line) => {
        const at = line.indexOf("=")
        return at === -1 ? [line, ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()]
      })
  )

/** What a form shows. */
export interface Typed {
  /** Empty for none. */
  readonly groupId: string
  readonly tags: string
  readonly labels: string
}

export const typedOf = (server: {
  readonly groupId: string | null
  readonly assignedTags: ReadonlyArray<string>
  readonly assignedLabels: Readonly<Record<string, string>>
}): Typed => ({
  groupId: server.groupId ?? "",
  tags: joinTags(server.assignedTags),
  labels: joinLabels(server.assignedLabels)
})

export const isSame = (some: Typed, other: Typed) =>
  some.groupId === other.groupId && some.tags === other.tags && some.labels === other.labels

const without = (some: ReadonlyArray<string>, others: ReadonlyArray<string>) =>
  some.filter((each) => !others.includes(each))

/** Only what was touched: what others changed while the form was open is theirs. */
export const touched = (before: Typed, after: Typed): typeof ServerAssignment.Encoded => {
  const [tagsBefore, tagsAfter] = [splitTags(before.tags), splitTags(after.tags)]
  const [labelsBefore, labelsAfter] = [splitLabels(before.labels), splitLabels(after.labels)]
  const tags = { add: without(tagsAfter, tagsBefore), remove: without(tagsBefore, tagsAfter) }
  const labels = {
    set: Object.fromEntries(Object.entries(labelsAfter).filter(([key, value]) => labelsBefore[key] !== value)),
    remove: without(Object.keys(labelsBefore), Object.keys(labelsAfter))
  }
  return {
    ...(before.groupId === after.groupId ? {} : { groupId: after.groupId === "" ? null : after.groupId }),
    ...(tags.add.length + tags.remove.length === 0 ? {} : { tags }),
    ...(Object.keys(labels.set).length + labels.remove.length === 0 ? {} : { labels })
  }
}
