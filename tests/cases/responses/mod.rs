//! What endpoints answer: one honest answer reaches the client, or a connection that is visibly broken.

mod case;
mod run;
mod table;

pub(super) use table::table;

#[tokio::test]
async fn what_reaches_a_client_is_one_honest_answer_or_a_broken_connection() {
    run::all(&table()).await;
}
