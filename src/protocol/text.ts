/**
 * Whether it is text, and of this form. A regular expression alone turns whatever it is given into
 * text first: it takes a list of one name for the name, and throws on `{"toString": false}`.
 */
export function isTextLike(value: unknown, form: RegExp): value is string {
  return typeof value === "string" && form.test(value);
}
