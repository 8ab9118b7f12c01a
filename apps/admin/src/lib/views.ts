/** How views stand in the URL: what all lists read and write the same. */

/** How many rows a page may have. */
export const limits = [25, 50, 100] as const

export const limitOf = (value: string | null, usual: number): number =>
  limits.find((each) => each === Number(value)) ?? usual

/** Words with commas between them, each once. */
export const listed = (value: string | null) => (value === null || value === "" ? [] : [...new Set(value.split(","))])

export const one = <Value extends string>(is: (value: unknown) => value is Value, value: string | null) =>
  is(value) ? value : null

/** A query string without what is empty. The marks in `plain` are left readable. */
export const searchOf = (parts: ReadonlyArray<readonly [string, string]>, plain: ReadonlyArray<string> = [","]) => {
  const written = (value: string) =>
    plain.reduce((text, mark) => text.replaceAll(encodeURIComponent(mark), mark), encodeURIComponent(value))
  const search = parts.flatMap(([key, value]) => (value === "" ? [] : [`${key}=${written(value)}`])).join("&")
  return search === "" ? "" : `?${search}`
}

/** A change of what is asked starts at the first page: a cursor belongs to its question. */
export const changed = <View extends { readonly cursor: string | null }>(view: View, change: Partial<View>): View => ({
  ...view,
  cursor: null,
  ...change
})

/** A word more, or one less. */
export const flipped = <Word>(words: ReadonlyArray<Word>, word: Word): ReadonlyArray<Word> =>
  words.includes(word) ? words.filter((other) => other !== word) : [...words, word]
