import fs from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { Statement } from "../support/mqtt-conformance.ts";
import { CONNECTS } from "../support/mqtt-statements/connects.ts";
import {
  ALL_STATEMENTS,
  SHOWN_ELSEWHERE,
  WITHOUT_TEST,
} from "../support/mqtt-statements/ledger.ts";
import { MESSAGES } from "../support/mqtt-statements/messages.ts";
import { PACKETS } from "../support/mqtt-statements/packets.ts";
import { PUBLISHES } from "../support/mqtt-statements/publishes.ts";
import { QOS_2 } from "../support/mqtt-statements/qos-2.ts";
import { SESSIONS } from "../support/mqtt-statements/sessions.ts";
import { SUBSCRIBING } from "../support/mqtt-statements/subscribing.ts";
import { WILLS } from "../support/mqtt-statements/wills.ts";

const TABLES: readonly (readonly Statement[])[] = [
  ...[CONNECTS, MESSAGES, PACKETS, PUBLISHES, QOS_2, SESSIONS, SUBSCRIBING, WILLS],
];
const inTables = new Set(TABLES.flat().flatMap(({ tag, also = [] }) => [tag, ...also]));
const numbered = [...inTables].filter((tag) => /^MQTT-[\d.]+-\d+$/.test(tag));

describe("the standard's normative statements", () => {
  it("are 251, and each is shown by a test or has a reason why there is none", () => {
    expect(ALL_STATEMENTS).toHaveLength(251);
    const open = ALL_STATEMENTS.filter(
      (tag) => !inTables.has(tag) && !(tag in SHOWN_ELSEWHERE) && !(tag in WITHOUT_TEST),
    );
    expect(open).toEqual([]);
  });

  it("have no test where it is said that there is none, and no number that does not exist", () => {
    const excused = Object.keys(WITHOUT_TEST);
    expect(excused.filter((tag) => inTables.has(tag) || tag in SHOWN_ELSEWHERE)).toEqual([]);
    const known = new Set(ALL_STATEMENTS);
    const named = [...numbered, ...excused, ...Object.keys(SHOWN_ELSEWHERE)];
    expect(named.filter((tag) => !known.has(tag))).toEqual([]);
  });

  it("name tests that are there", () => {
    const missing = Object.entries(SHOWN_ELSEWHERE).filter(([, [file, title]]) => {
      const text = fs.readFileSync(
        path.resolve(import.meta.dirname, "..", `${file}.test.ts`),
        "utf8",
      );
      return !text.includes(title);
    });
    expect(missing).toEqual([]);
  });
});
