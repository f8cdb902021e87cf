import {
  Alert,
  Button,
  Center,
  Code,
  Group,
  Paper,
  PasswordInput,
  Stack,
  Text,
  TextInput,
  Title,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { useDocumentTitle } from "@mantine/hooks";
import { IconAlertTriangle } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRouter, useSearch } from "@tanstack/react-router";
import { type KeyboardEvent, useState } from "react";
import { ApiError, api } from "../api/index.ts";
import { Logo } from "../shell/logo.tsx";
import { PasskeyButton } from "./passkey-button.tsx";
import { PROVIDER_PROBLEMS, ProviderButtons } from "./sign-in-providers.tsx";

export function SignInPage() {
  useDocumentTitle("Sign in · Vautn");
  const { next, problem } = useSearch({ from: "/sign-in" });
  const router = useRouter();
  const client = useQueryClient();
  const [capsLock, setCapsLock] = useState(false);
  const form = useForm({
    initialValues: { email: "", password: "", code: "" },
    validate: {
      email: (email) => (email.includes("@") ? null : "Your e-mail address, please"),
      password: (password) => (password ? null : "Your password, please"),
    },
  });
  const enter = () => {
    client.clear();
    // Only a path of our own: an address of elsewhere could pretend to be this page.
    router.history.push(next && /^\/(?![/\\])/.test(next) ? next : "/");
  };
  const [asksForCode, setAsksForCode] = useState(false);
  const [passkeyError, setPasskeyError] = useState<Error>();
  const signIn = useMutation({
    mutationFn: ({ email, password, code }: typeof form.values) =>
      api.signIn({ email: email.trim(), password, ...(code.trim() ? { code: code.trim() } : {}) }),
    onSuccess: enter,
    onError: (error) => {
      if (wantsCode(error)) setAsksForCode(true);
    },
  });
  const watchCapsLock = (event: KeyboardEvent) => setCapsLock(event.getModifierState("CapsLock"));

  return (
    <Center component="main" mih="100vh" p="md">
      <Stack w="100%" maw={400} gap="lg">
        <Group gap="sm" justify="center">
          <Logo size={40} />
          <Title order={1} fz={28} style={{ letterSpacing: "-0.03em" }}>
            Vautn
          </Title>
        </Group>
        <Paper p="xl" shadow="sm">
          <form onSubmit={form.onSubmit((values) => signIn.mutate(values))} noValidate>
            <Stack>
              <Title order={2} fz="lg">
                Sign in
              </Title>
              {signIn.error && !wantsCode(signIn.error) && <SignInError error={signIn.error} />}
              {passkeyError && <Problem text="The passkey did not sign you in." />}
              {problem && !signIn.error && !passkeyError && (
                <Problem text={PROVIDER_PROBLEMS[problem] ?? "Signing in did not work."} />
              )}
              <ProviderButtons next={next}>
                <PasskeyButton onDone={enter} onError={setPasskeyError} />
              </ProviderButtons>
              <TextInput
                label="E-mail"
                type="email"
                autoComplete="username"
                autoFocus
                {...form.getInputProps("email")}
              />
              <PasswordInput
                label="Password"
                autoComplete="current-password"
                onKeyDown={watchCapsLock}
                onKeyUp={watchCapsLock}
                description={capsLock ? "Caps lock is on" : undefined}
                visibilityToggleButtonProps={{ "aria-label": "Show or hide the password" }}
                {...form.getInputProps("password")}
              />
              {asksForCode && (
                <TextInput
                  label="Code"
                  description="Of your authenticator app, or a recovery code"
                  autoComplete="one-time-code"
                  autoFocus
                  maxLength={32}
                  {...form.getInputProps("code")}
                />
              )}
              <Button type="submit" loading={signIn.isPending} fullWidth mt="xs">
                Sign in
              </Button>
            </Stack>
          </form>
        </Paper>
        <Text size="xs" c="dimmed" ta="center">
          First time here? The first start of <Code>vautn up</Code> prints the administrator's
          e-mail and password.
        </Text>
      </Stack>
    </Center>
  );
}

/** Whether the password was right, and only the code is missing. */
function wantsCode(error: Error): boolean {
  if (!(error instanceof ApiError) || error.code !== "second-factor-needed") return false;
  const { methods } = error.details;
  return Array.isArray(methods) && methods.includes("totp");
}

function SignInError({ error }: { error: Error }) {
  const code = error instanceof ApiError ? error.code : "";
  return <Problem text={MESSAGES[code] ?? error.message} />;
}

function Problem({ text }: { text: string }) {
  return (
    <Alert color="ember" role="alert" icon={<IconAlertTriangle aria-hidden />} p="sm">
      <Text size="sm">{text}</Text>
    </Alert>
  );
}

const MESSAGES: Record<string, string> = {
  "invalid-credentials":
    "The e-mail or the password is wrong. Check caps lock; an administrator can set a new password.",
  "second-factor-needed": "The password is right. Now sign in with your passkey.",
  "rate-limited": "Too many attempts. Wait a minute and try again.",
};
