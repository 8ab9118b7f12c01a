export const reportKey = "broker:report"
