CREATE TRIGGER ledger_entries_are_not_changed BEFORE UPDATE ON ledger_entries
BEGIN SELECT RAISE(ABORT, 'ledger entries are never changed; post a reversing one'); END;
CREATE TRIGGER ledger_entries_are_not_deleted BEFORE DELETE ON ledger_entries
BEGIN SELECT RAISE(ABORT, 'ledger entries are never deleted; post a reversing one'); END;
CREATE TRIGGER ledger_postings_are_not_changed BEFORE UPDATE ON ledger_postings
BEGIN SELECT RAISE(ABORT, 'ledger postings are never changed; post a reversing one'); END;
CREATE TRIGGER ledger_postings_are_not_deleted BEFORE DELETE ON ledger_postings
BEGIN SELECT RAISE(ABORT, 'ledger postings are never deleted; post a reversing one'); END;
CREATE TRIGGER prices_are_not_changed BEFORE UPDATE ON prices
BEGIN SELECT RAISE(ABORT, 'prices are never changed; add a version'); END;
CREATE TRIGGER prices_are_not_deleted BEFORE DELETE ON prices
BEGIN SELECT RAISE(ABORT, 'prices are never deleted; add a version'); END;
