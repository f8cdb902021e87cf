export { type Jobs, type JobsDeps, startJobs } from "./jobs.ts";
