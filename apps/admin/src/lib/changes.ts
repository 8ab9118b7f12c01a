/** What a form has changed of what it began with: what nobody touched there may have been changed by others meanwhile. */
export const changesOf = <Row extends object>(before: Row, after: Row): Partial<Row> => {
  const changes: Partial<Row> = {}
  for (const key in after) {
    if (JSON.stringify(after[key]) !== JSON.stringify(before[key])) changes[key] = after[key]
  }
  return changes
}
