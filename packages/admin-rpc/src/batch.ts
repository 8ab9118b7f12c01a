/** How many procedures one request may call. The dashboard splits what is more; each call costs one request (H10). */
export const maxCalls = 20
