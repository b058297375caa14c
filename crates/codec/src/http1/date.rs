//! The value of `date`, made anew once a second at most (RFC 9110 section 5.6.7).

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a date.
const DATE_BYTES: usize = 29;
const SECONDS_PER_DAY: u64 = 86_400;

thread_local! {
    /// The second, and its text.
    static NOW: RefCell<(u64, [u8; DATE_BYTES])> = const { RefCell::new((u64::MAX, [0; DATE_BYTES])) };
}

/// Passes the date of now to `each`.
pub(super) fn with_now(each: impl FnOnce(&[u8])) {
    let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    NOW.with_borrow_mut(|(shown, text)| {
        if *shown != second {
            (*shown, *text) = (second, render(second));
        }
        each(text);
    });
}

/// As in `Sun, 06 Nov 1994 08:49:37 GMT`, of seconds since 1970.
fn render(second: u64) -> [u8; DATE_BYTES] {
    const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let (days, time) = (second / SECONDS_PER_DAY, second % SECONDS_PER_DAY);
    let (year, month, day) = civil(days);
    let mut text = *b"---, -- --- ---- --:--:-- GMT";
    text[..3].copy_from_slice(WEEKDAYS[(days % 7) as usize]);
    put_two(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[(month - 1) as usize % 12]);
    put_two(&mut text[12..14], year / 100);
    put_two(&mut text[14..16], year % 100);
    put_two(&mut text[17..19], time / 3_600);
    put_two(&mut text[20..22], time / 60 % 60);
    put_two(&mut text[23..25], time % 60);
    text
}

fn put_two(text: &mut [u8], number: u64) {
    text[0] = b'0' + (number / 10 % 10) as u8;
    text[1] = b'0' + (number % 10) as u8;
}

/// Year, month and day of days since 1970. Counted in years that begin in March, so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_OF_ERA: u64 = 146_097;
    let days = days + DAYS_TO_1970;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn dates_are_written_as_the_rfc_does() {
        let check = |second, expected: &str| assert_eq!(std::str::from_utf8(&render(second)), Ok(expected));
        check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
        check(951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT");
        check(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
        check(4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT");
    }
}
