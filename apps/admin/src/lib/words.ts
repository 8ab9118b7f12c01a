/** Words put on screen. */

export const capital = (text: string) => text.slice(0, 1).toUpperCase() + text.slice(1)

/** A stable word that has no phrase here is read with spaces; what somebody typed stays as it was typed. */
export const readable = (reason: string) => (/^[a-z]+(_[a-z]+)*$/.test(reason) ? reason.replaceAll("_", " ") : reason)
