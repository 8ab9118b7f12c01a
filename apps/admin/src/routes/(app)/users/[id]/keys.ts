/** What the page of a user depends on, beside all that loads users. */

/** The user at the head of the page. */
export const headKey = "broker:user-head"

/** What the open tab lists. */
export const tabKey = "broker:user-tab"
