/** Words put on screen. */
export { capital, readable } from "@broker/domain/Wording"
