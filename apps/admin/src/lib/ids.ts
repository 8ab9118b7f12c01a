/** Ids for the eye. */

/** The end of an id: it begins with the time, and so alike in what was made at the same time. */
export const shortId = (id: string) => id.slice(-8)
