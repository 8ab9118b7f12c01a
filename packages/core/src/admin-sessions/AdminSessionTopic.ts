/** Said by whoever changes what an admin may do, or how they sign in: whoever remembers some of it looks again. */
export const adminSessionTopic = "admin-session"
