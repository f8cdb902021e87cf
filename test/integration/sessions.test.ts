import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createSignIn, type SignIn } from "../../src/sign-in/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { silentLogger } from "../support/timeseries.ts";

const PASSWORD = "correct horse battery";
const HOUR = 3_600_000;

describe("sessions", () => {
  let test: TestDatabase;
  let clock: VirtualClock;
  let tenancy: Tenancy;
  let signIn: SignIn;
  let count = 0;

  beforeAll(async () => {
    test = await createTestDatabase();
    clock = new VirtualClock();
    tenancy = createTenancy({ db: test.db, clock });
    const sealer = createSealer(Buffer.alloc(32, 7));
    signIn = createSignIn({ db: test.db, clock, sealer, tenancy, logger: silentLogger });
    await tenancy.tenants.create({ id: "acme", name: "Acme" }, SYSTEM_ACTOR);
  });
  afterAll(() => test.close());

  async function person() {
    count += 1;
    const email = `person-${count}@example.com`;
    const user = await tenancy.users.create({ email, name: "P", password: PASSWORD }, SYSTEM_ACTOR);
    const enter = (userAgent = "Firefox") =>
      signIn.withPassword({ email, password: PASSWORD, address: `192.0.2.${count}`, userAgent });
    return { user, email, enter };
  }
  const rotate = async (token: string) => {
    const { session } = await tenancy.authenticate(token);
    return signIn.sessions.rotate(token, session as never);
  };
  const isOver = async (token: string) => {
    tenancy.forget();
    return tenancy.authenticate(token).then(
      () => false,
      () => true,
    );
  };

  it("are listed to their owner alone, with where they come from", async () => {
    const { enter } = await person();
    const { token } = await enter("Firefox");
    await enter("Chrome");
    const stranger = await tenancy.authenticate((await (await person()).enter()).token);
    const own = await signIn.sessions.list(await tenancy.authenticate(token));
    expect(own.map(({ userAgent, isCurrent }) => [userAgent, isCurrent]).sort()).toEqual([
      ["Chrome", false],
      ["Firefox", true],
    ]);
    expect(own[0]).toMatchObject({ method: "password", address: expect.stringMatching(/^192/) });
    expect(JSON.stringify(own)).not.toContain(token.slice(3));
    expect(await signIn.sessions.list(stranger)).toHaveLength(1);
  });

  it("are ended one by one, or all others, by their owner alone", async () => {
    const { user, enter } = await person();
    const [first, second, third] = [await enter(), await enter(), await enter()];
    const me = await tenancy.authenticate(first.token);
    const other = await tenancy.authenticate((await (await person()).enter()).token);
    const id = (await tenancy.authenticate(second.token)).session?.id ?? "";
    const actor = { kind: "user" as const, id: user.id, name: "P" };
    for (const target of [{ id }, { id: "nonsense" }]) {
      await expect(signIn.sessions.end(other, target, actor)).rejects.toMatchObject({
        code: "not-found",
      });
    }
    await signIn.sessions.end(me, { id }, actor);
    expect([await isOver(second.token), await isOver(third.token)]).toEqual([true, false]);
    await expect(signIn.sessions.end(me, { id }, actor)).rejects.toMatchObject({
      code: "not-found",
    });
    expect(await signIn.sessions.end(me, "others", actor)).toBe(1);
    expect([await isOver(first.token), await isOver(third.token)]).toEqual([false, true]);
    const { items } = await tenancy.audit.list("_platform", { limit: 2 });
    expect(items.map(({ action, targetId }) => [action, targetId])).toEqual([
      ["session.end", "others"],
      ["session.end", id],
    ]);
  });

  it("get a new token every hour, and the old one serves until the new one has arrived", async () => {
    const { enter } = await person();
    const { token: first } = await enter();
    expect(await rotate(first)).toBeNull();
    await clock.advance(HOUR);
    const [one, two] = [await rotate(first), await rotate(first)];
    expect([one === null, two === null].sort()).toEqual([false, true]);
    const second = one?.token ?? two?.token ?? "";
    // The answer may have been lost: nobody is shut out for it.
    await clock.advance(2 * 60_000);
    expect(await isOver(first)).toBe(false);
    const again = await rotate(first);
    expect(again?.token).not.toBe(second);
    expect(await isOver(second)).toBe(true);
    const principal = await tenancy.authenticate(again?.token ?? "");
    expect(principal.session?.id).toBe((await tenancy.authenticate(first)).session?.id);
    await clock.advance(30_000);
    expect(await isOver(first)).toBe(false);
  });

  it("end for both where a token is used again that was replaced", async () => {
    const { enter } = await person();
    const { token: first } = await enter();
    await clock.advance(HOUR);
    const second = (await rotate(first))?.token ?? "";
    const principal = await tenancy.authenticate(second);
    await clock.advance(61_000);
    // An answer that lasts, begun with the old token, is no second use of it.
    await expect(tenancy.reauthenticate(principal, first)).resolves.toBeDefined();
    expect(await isOver(second)).toBe(false);
    expect(await isOver(first)).toBe(true);
    expect(await isOver(second)).toBe(true);
    const { items } = await tenancy.audit.list("_platform", { limit: 1 });
    expect(items[0]).toMatchObject({ action: "session.end", targetId: principal.session?.id });
    tenancy.forget();
    await expect(tenancy.reauthenticate(principal, first)).rejects.toMatchObject({
      code: "unauthenticated",
    });
  });

  it("get a new token when what the person may has changed", async () => {
    const { email, enter } = await person();
    const { token } = await enter();
    expect(await rotate(token)).toBeNull();
    await tenancy.users.setMembership("acme", email, "viewer", SYSTEM_ACTOR);
    expect(await rotate(token)).not.toBeNull();
  });

  it("end with the token that is on its way, too", async () => {
    const { enter } = await person();
    const { token: first } = await enter();
    await clock.advance(HOUR);
    const second = (await rotate(first))?.token ?? "";
    await signIn.sessions.signOut(second);
    expect([await isOver(first), await isOver(second)]).toEqual([true, true]);
  });

  it("are no more than fifty of one person, and the oldest gives way", async () => {
    const { user, enter } = await person();
    const { token } = await enter();
    await test.db.platform(async (tx) => {
      const row = await tx
        .selectFrom("sessions")
        .selectAll()
        .where("user_id", "=", user.id)
        .executeTakeFirstOrThrow();
      for (let index = 0; index < 49; index += 1) {
        const { id: _, token_hash: __, ...same } = row;
        const created_at = new Date(clock.now() + 1 + index);
        const values = { ...same, created_at, token_hash: Buffer.from(`${index} of ${user.id}`) };
        await tx.insertInto("sessions").values(values).execute();
      }
    });
    await clock.advance(1_000);
    const last = await enter();
    expect([await isOver(token), await isOver(last.token)]).toEqual([true, false]);
    expect(await signIn.sessions.list(await tenancy.authenticate(last.token))).toHaveLength(50);
  });
});
