// Messages of a conversation. A content is a text, or a value that nobody need have read.

/** What the model is told before all else. */
export const system = (content) => ({ role: "system", content });

/** What the user says, and what earlier calls came to: `{ id, content }` each. */
export const user = (content, results = []) => ({ role: "user", content, results });

/** What the model said, and what it asked for: `{ id, name, arguments }` each. */
export const assistant = (content, calls = []) => ({ role: "assistant", content, calls });
